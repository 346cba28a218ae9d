"""Batching parameters files: what a real TF Serving starts with is taken, what it refuses is an OptionError."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors, options
from infraval.requests import batch_sizes as batching

STARTUP = json.loads((Path(__file__).parent.parent / "golden" / "startup.json").read_text(encoding="utf-8"))["cases"]
BATCHING = [pytest.param(case, id=case["case"]) for case in STARTUP if "--enable_batching" in case["flags"]]

SPLITTING = "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 } "


def job(**warmup: Any) -> options.Job:
    """A job with these options about the warmup."""
    return options.Job(model="m", examples="e", warmup=warmup)


@pytest.fixture
def sizes(tmp_path: Path) -> Callable[..., tuple[int, ...]]:
    """Batch sizes to cover with a parameters file of this text."""

    def read(text: str, *asked: int) -> tuple[int, ...]:
        path = tmp_path / "batching.txt"
        path.write_text(text, encoding="utf-8")
        return batching.batch_sizes(job(batch_sizes=asked, batching_parameters_file=str(path)))

    return read


@pytest.mark.parametrize("case", BATCHING)
def test_a_file_is_taken_if_the_real_server_starts_with_it(
    case: dict[str, Any], sizes: Callable[..., tuple[int, ...]]
) -> None:
    """The recorded starts of a real server decide, also on sizes that do not ascend, which it takes."""
    if case["available"]:
        assert sizes(case["batching_parameters"])
    else:
        with pytest.raises(errors.OptionError, match=r"batching\.txt"):
            sizes(case["batching_parameters"])


def test_every_allowed_size_is_to_be_covered(sizes: Callable[..., tuple[int, ...]]) -> None:
    """Each once and ascending, in whatever order the file has them."""
    text = "max_batch_size { value: 16 } allowed_batch_sizes: [4, 1, 4, 16]"
    assert sizes(text) == (1, 4, 16)


def test_sizes_that_are_asked_for_win(sizes: Callable[..., tuple[int, ...]]) -> None:
    """Nobody has to cover all that the server may pad to."""
    assert sizes("max_batch_size { value: 16 } allowed_batch_sizes: [1, 16]", 2, 16) == (2, 16)


def test_without_allowed_sizes_one_example_is_enough(sizes: Callable[..., tuple[int, ...]]) -> None:
    """A file that names no sizes pads to none."""
    assert sizes("max_batch_size { value: 16 }") == (1,)
    assert sizes("") == (1,)


def test_without_a_file_it_is_what_was_asked_for_or_one() -> None:
    """No file, no limit."""
    assert batching.batch_sizes(job()) == (1,)
    assert batching.batch_sizes(job(batch_sizes=(5000, 2))) == (5000, 2)


def test_a_size_over_the_maximum_is_refused(sizes: Callable[..., tuple[int, ...]]) -> None:
    """The server would refuse the request: the file's maximum, or TF Serving's own of 1000, is the limit."""
    with pytest.raises(errors.OptionError, match="17 is over the maximum of 16"):
        sizes("max_batch_size { value: 16 }", 1, 17)
    with pytest.raises(errors.OptionError, match="1001 is over the maximum of 1000"):
        sizes("num_batch_threads { value: 2 }", 1001)
    assert sizes("max_batch_size { value: 16 }", 16) == (16,)


def test_sizes_that_no_request_can_have_are_left_out(sizes: Callable[..., tuple[int, ...]]) -> None:
    """The server checks the last entry only; a request of 32 it would refuse, and of 0 there is none."""
    assert sizes("max_batch_size { value: 16 } allowed_batch_sizes: [0, -4, 32, 4, 16]") == (4, 16)


def test_with_splitting_the_last_size_is_that_of_execution(sizes: Callable[..., tuple[int, ...]]) -> None:
    """Requests may be larger than what is run at once, up to the maximum."""
    allowed = SPLITTING + "max_batch_size { value: 64 } allowed_batch_sizes: [2, 8]"
    assert sizes(allowed) == (2, 8)
    assert sizes(allowed, 64) == (64,)
    with pytest.raises(errors.OptionError, match=r"is 64, .* maximum, 8"):
        sizes(SPLITTING + "max_batch_size { value: 64 } allowed_batch_sizes: [2, 64]")


def test_an_execution_size_means_nothing_without_splitting(sizes: Callable[..., tuple[int, ...]]) -> None:
    """It takes both fields."""
    with pytest.raises(errors.OptionError, match=r"is 8, .* maximum, 64"):
        sizes("max_execution_batch_size { value: 8 } max_batch_size { value: 64 } allowed_batch_sizes: 8")


def test_every_field_of_tf_serving_is_known(sizes: Callable[..., tuple[int, ...]]) -> None:
    """A file that sets all nine fields is read."""
    assert sizes(
        SPLITTING + 'max_batch_size { value: 64 } thread_pool_name { value: "pool" } num_batch_threads { value: 2 } '
        "batch_timeout_micros { value: 0 } max_enqueued_batches { value: 9 } pad_variable_length_inputs: true "
        "allowed_batch_sizes: 8 # the only one"
    ) == (8,)


PER_MODEL = ("--enable_batching", "--enable_per_model_batching_parameters")
PADDED = "max_batch_size { value: 4 } allowed_batch_sizes: [2, 4]"


@pytest.mark.parametrize(
    ("arguments", "in_model", "in_file", "expected"),
    [
        (PER_MODEL, PADDED, "", (2, 4)),
        (PER_MODEL, PADDED, "max_batch_size { value: 8 } allowed_batch_sizes: [8]", (2, 4)),
        (PER_MODEL, "", "max_batch_size { value: 8 } allowed_batch_sizes: [8]", (1,)),
        (PER_MODEL[:1], PADDED, "", (1,)),
        (PER_MODEL[1:], PADDED, "", (1,)),
        ((PER_MODEL[0], f"{PER_MODEL[1]}=true"), PADDED, "", (2, 4)),
        ((*PER_MODEL, f"{PER_MODEL[1]}=false"), PADDED, "", (1,)),
        (PER_MODEL[1:], PADDED, "max_batch_size { value: 8 } allowed_batch_sizes: [8]", (2, 4)),
    ],
)
def test_the_parameters_in_force_are_those_of_the_real_server(
    arguments: tuple[str, ...], in_model: str, in_file: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    """See the cases `batching_per_model…` of a real one: both flags count, and then a model needs a file of its own."""
    if in_model:
        (tmp_path / batching.PER_MODEL_FILE).write_text(in_model)
    (tmp_path / "batching.txt").write_text(in_file)
    warmup = {"batching_parameters_file": tmp_path / "batching.txt"} if in_file else {}
    server = options.ProcessServer(server_arguments=arguments)
    asked = options.Job(model=tmp_path, examples="e", server=server, warmup=warmup)
    assert batching.batch_sizes(asked) == expected


def test_the_platform_config_file_has_batching_parameters_too(tmp_path: Path) -> None:
    """In force are its own only."""
    path = tmp_path / "platforms.config"
    path.write_text(f'platform_configs {{ key: "tensorflow" value {{ batching_parameters {{ {PADDED} }} }} }}')
    asked = options.Job(model=tmp_path, examples="e", server=options.ProcessServer(platform_config_file=path))
    assert batching.batch_sizes(asked) == (2, 4)
    path.write_text("platform_configs {\n batching_parameters { max: 1 } }")
    with pytest.raises(errors.OptionError, match=r"platforms\.config .*2:"):
        batching.batch_sizes(asked)
    for mistaken in ({"warmup": {"batching_parameters_file": "b"}}, {"server_arguments": ["--enable_batching"]}):
        server = {"platform_config_file": path, "server_arguments": mistaken.get("server_arguments", ())}
        with pytest.raises(errors.OptionError, match=r"server\.platform_config_file"):
            options.Job(model="m", warmup=mistaken.get("warmup", {}), server=server)


@pytest.mark.parametrize("text", ["max_batch_size = 4", "max_batch_size { value: 4 } allowed_batch_sizes: [2, 3]"])
def test_parameters_for_which_the_model_would_not_load_are_the_models_fault(text: str, tmp_path: Path) -> None:
    """The message has the file's path."""
    (tmp_path / batching.PER_MODEL_FILE).write_text(text)
    server = options.ProcessServer(server_arguments=PER_MODEL)
    with pytest.raises(errors.ModelError, match=r"batching_params\.pbtxt"):
        batching.batch_sizes(options.Job(model=tmp_path, server=server))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Missing, or a directory: the message has the path."""
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(errors.OptionError, match="cannot be read") as caught:
            batching.batch_sizes(job(batching_parameters_file=str(path)))
        assert str(path) in str(caught.value)


@given(content=st.one_of(st.binary(), st.text(alphabet='max_btchsize{}: 0123456789-"\\\n').map(str.encode)))
def test_no_content_raises_anything_but_an_option_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is in the file, the sizes are usable or the option is at fault."""
    path = tmp_path_factory.mktemp("batching") / "batching.txt"
    path.write_bytes(content)
    try:
        sizes = batching.batch_sizes(job(batching_parameters_file=str(path)))
    except errors.OptionError:
        return
    assert all(size >= 1 for size in sizes)
