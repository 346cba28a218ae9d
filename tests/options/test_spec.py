"""Specs travel as JSON and back, and take nothing that makes no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors, options

WARMUP_SPECS = st.builds(
    options.WarmupSpec,
    batch_sizes=st.lists(st.integers(1, 2**31), unique=True, max_size=5).map(tuple),
    batching_parameters_file=st.text(),
    seed=st.integers(0, 2**64 - 1),
    existing=st.sampled_from(options.ExistingWarmup),
    max_records=st.integers(1, 1000),
)
NAMES = st.lists(st.text(min_size=1), max_size=4).map(tuple)
PROCESS_SPECS = st.builds(
    options.ProcessSpec, server=st.sampled_from(["auto", "embedded"]), import_ops=NAMES
) | st.builds(options.ProcessSpec, server=st.text(min_size=1))
REQUEST_OPTIONS = st.builds(
    options.RequestOptions,
    signatures=NAMES,
    multi_inference=NAMES,
    features=NAMES,
    max_dead_letter_share=st.floats(0, 1),
    splits=NAMES,
)
DOCKER_SPECS = st.builds(
    options.DockerSpec,
    base_url=st.text(),
    client_timeout_s=st.floats(0.001, 1e6),
    host_ip_address=st.sampled_from(["", "127.0.0.1", "172.17.0.1", "::1"]),
    pull=st.sampled_from(options.PullPolicy),
    model_transfer=st.sampled_from(options.ModelTransfer),
    user=st.sampled_from(["", "0", "1000", "1000:100", "2147483647:2147483647"]),
    memory_bytes=st.integers(0, 2**63),
    cpus=st.floats(0, 1024),
    pids=st.integers(options.MIN_PIDS, 2**31),
    gpus=st.sampled_from(["", "all", "2", "device=0,GPU-3a"]),
    environment=st.lists(st.from_regex(r"[A-Z_]+(=.*)?", fullmatch=True), max_size=3).map(tuple),
    server_arguments=st.lists(st.from_regex(r"--[a-z]+=.*", fullmatch=True), max_size=3).map(tuple),
    parallel_images=st.integers(1, 100),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(WARMUP_SPECS | PROCESS_SPECS | DOCKER_SPECS | REQUEST_OPTIONS)
def test_json_is_an_inverse(given_spec: options.JsonSpec) -> None:
    """What went through JSON is equal to what went in, and its JSON stays the same."""
    text = given_spec.to_json()
    parsed = type(given_spec).from_json(text)
    assert parsed == given_spec
    assert parsed.to_json() == text


def test_json_holds_what_differs_from_the_default() -> None:
    """A pipeline shows what was asked for, and no more."""
    assert json.loads(options.WarmupSpec().to_json()) == {}
    changed = options.WarmupSpec(batch_sizes=(1, 8), existing=options.ExistingWarmup.KEEP)
    assert json.loads(changed.to_json()) == {"batch_sizes": [1, 8], "existing": "keep"}


def test_json_by_hand_reads_as_the_type_says() -> None:
    """Names become enums and lists become tuples, so that a spec compares and hashes."""
    parsed = options.WarmupSpec.from_json('{"existing": "replace", "batch_sizes": [2]}')
    assert parsed.existing is options.ExistingWarmup.REPLACE
    assert hash(parsed) == hash(options.WarmupSpec(batch_sizes=(2,), existing=options.ExistingWarmup.REPLACE))


@pytest.mark.parametrize("kind", [options.WarmupSpec, options.ProcessSpec, options.DockerSpec, options.RequestOptions])
@given(data=st.data())
def test_no_json_raises_anything_but_an_option_error(kind: type[options.JsonSpec], data: st.DataObject) -> None:
    """Whatever values the fields have: either a spec that goes through JSON unchanged, or an OptionError."""
    fields = data.draw(st.dictionaries(st.sampled_from(list(kind.__dataclass_fields__)), JSON_VALUES))  # type: ignore[attr-defined]  # all kinds are dataclasses
    try:
        parsed = kind.from_json(json.dumps(fields))
    except errors.OptionError:
        return
    assert kind.from_json(parsed.to_json()) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"seed"', "seed=3", "{'seed': 3}", pytest.param("[" * 100_000, id="deep")],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """The message names the spec."""
    with pytest.raises(errors.OptionError, match="WarmupSpec"):
        options.WarmupSpec.from_json(text)


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    """A slip is not passed over."""
    with pytest.raises(errors.OptionError, match="ProcessSpec has no field sever; it has import_ops, server"):
        options.ProcessSpec.from_json('{"sever": "embedded"}')


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": "x"},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.0},
        {"seed": True},
        {"seed": None},
        {"batch_sizes": 3},
        {"batch_sizes": "12"},
        {"batch_sizes": ["1"]},
        {"batch_sizes": [0]},
        {"batch_sizes": [True]},
        {"batch_sizes": [[1]]},
        {"batch_sizes": [4, 4]},
        {"batch_sizes": {"1": 1}},
        {"batch_sizes": None},
        {"batching_parameters_file": 3},
        {"batching_parameters_file": ["a"]},
        {"existing": 5},
        {"existing": "MERGE"},
        {"existing": ["merge"]},
        {"existing": {"merge": 1}},
        {"max_records": 0},
        {"max_records": 1001},
        {"max_records": "9"},
    ],
    ids=json.dumps,
)
def test_a_warmup_spec_names_the_field_that_is_wrong(fields: dict[str, Any]) -> None:
    """Wrong types and values beyond the limits are OptionErrors that say which field it is."""
    (name,) = fields
    with pytest.raises(errors.OptionError, match=rf"(?i){name.replace('_', '.').removesuffix('s')}"):
        options.WarmupSpec.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"server": ""},
        {"server": 5},
        {"server": None},
        {"server": ["embedded"]},
        {"import_ops": "m"},
        {"import_ops": [1]},
        {"import_ops": [""]},
        {"import_ops": None},
    ],
    ids=json.dumps,
)
def test_a_process_spec_names_the_field_that_is_wrong(fields: dict[str, Any]) -> None:
    """Likewise."""
    (name,) = fields
    with pytest.raises(errors.OptionError, match=name):
        options.ProcessSpec.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"signatures": "all"},
        {"signatures": ["a", 3]},
        {"signatures": [""]},
        {"multi_inference": [["a", "b"]]},
        {"features": {"s/x": "f"}},
        {"features": None},
        {"splits": 1},
        {"max_dead_letter_share": "0.1"},
        {"max_dead_letter_share": 1.1},
        {"max_dead_letter_share": -0.1},
        {"max_dead_letter_share": float("nan")},
        {"max_dead_letter_share": True},
    ],
    ids=json.dumps,
)
def test_request_options_name_the_field_that_is_wrong(fields: dict[str, Any]) -> None:
    """Likewise; a share is a number, and a list of texts is no text."""
    (name,) = fields
    with pytest.raises(errors.OptionError, match=name):
        options.RequestOptions.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": 5},
        {"client_timeout_s": 0},
        {"client_timeout_s": float("inf")},
        {"host_ip_address": "localhost"},
        {"host_ip_address": "0.0.0.0"},  # noqa: S104 - refused
        {"host_ip_address": 1},
        {"pull": "missing"},
        {"pull_timeout_s": "9"},
        {"model_transfer": "bind"},
        {"user": "root"},
        {"user": "2147483648"},
        {"user": "1:2147483648"},
        {"memory_bytes": -1},
        {"memory_bytes": "4g"},
        {"cpus": float("nan")},
        {"pids": 511},
        {"gpus": "0"},
        {"gpus": "device="},
        {"environment": ["=secret"]},
        {"environment": "A=1"},
        {"server_arguments": ["model_name=m"]},
        {"parallel_images": 0},
    ],
    ids=json.dumps,
)
def test_a_docker_spec_names_the_field_that_is_wrong(fields: dict[str, Any]) -> None:
    """Likewise; what a variable holds is in no message, it may be a secret."""
    (name,) = fields
    with pytest.raises(errors.OptionError, match=name) as caught:
        options.DockerSpec.from_json(json.dumps(fields))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"images": ()}, "needs an image"),
        ({"images": ("a", "a")}, "named twice"),
        ({"images": ("",)}, "reference"),
        ({"images": ("a",), "model_name": "a/b"}, "no name for one"),
        ({"images": ("a",), "model_name": ".."}, "no name for one"),
        ({"images": ("a",), "platform": options.Platform.PROCESS}, "the platform is process"),
        ({"docker": options.DockerSpec(cpus=1), "platform": options.Platform.PROCESS}, "the platform is process"),
    ],
)
def test_what_docker_serves_has_an_image_and_a_directory(fields: dict[str, Any], says: str) -> None:
    """The model's name is that of a directory in the container, and images are of Docker only."""
    with pytest.raises(errors.OptionError, match=says):
        options.ServingSpec(**{"platform": options.Platform.DOCKER, **fields})


def test_each_image_judges_on_its_own() -> None:
    """One spec an image, all else alike; a process stands for itself."""
    several = options.ServingSpec(options.Platform.DOCKER, images=("a:1", "a:2"), docker=options.DockerSpec(cpus=1))
    assert [serving.images for serving in several.each()] == [("a:1",), ("a:2",)]
    assert {serving.docker for serving in several.each()} == {several.docker}
    assert options.ServingSpec().each() == (options.ServingSpec(),)


def test_options_of_another_server_are_refused() -> None:
    """Only the embedded server imports modules, and only the process platform has a ProcessSpec."""
    with pytest.raises(errors.OptionError, match=r"--import-ops .* /opt/tensorflow_model_server is another one"):
        options.ProcessSpec("/opt/tensorflow_model_server", ("ops",))
    for process in (options.ProcessSpec("embedded"), options.ProcessSpec(import_ops=("ops",))):
        assert options.ServingSpec(process=process).process is process
        with pytest.raises(errors.OptionError, match="the platform is docker"):
            options.ServingSpec(options.Platform.DOCKER, process=process)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (options.RequestSpec, {"signatures": ()}),
        (options.RequestSpec, {"max_dead_letter_share": 2}),
        (options.RequestSpec, {"max_dead_letter_share": float("nan")}),
        (options.RequestSpec, {"signatures": ("a", "a")}),
        (options.RequestSpec, {"num_examples": 0}),
        (options.RequestSpec, {"num_examples": True}),
        (options.ValidationSpec, {"max_loading_time_s": 0.0}),
        (options.ValidationSpec, {"max_loading_time_s": float("nan")}),
        (options.ValidationSpec, {"num_tries": 0}),
        (options.ValidationSpec, {"num_tries": 1.5}),
        (options.ValidationSpec, {"request_timeout_s": -1.0}),
        (options.ValidationSpec, {"concurrency": 0}),
    ],
)
def test_limits_of_the_other_specs(kind: type[Any], fields: dict[str, Any]) -> None:
    """What TFX's protos could carry but makes no sense is refused where it comes in."""
    with pytest.raises(errors.OptionError):
        kind(**fields)


def test_cells_are_ordered_and_hashable() -> None:
    """By signature, method and batch size: reports and files come out the same."""
    cells = [options.Cell("b", options.Method.PREDICT, 1), options.Cell("a", options.Method.REGRESS, 4)]
    cells.append(options.Cell("a", options.Method.CLASSIFY, 10))
    assert [(cell.signature, cell.batch_size) for cell in sorted(cells)] == [("a", 10), ("a", 4), ("b", 1)]
    assert len({*cells, *cells}) == 3
