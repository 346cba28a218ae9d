"""The options: what people may write, what is refused and how, and the JSON that RuntimeParameters carry."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors, escape, options
from infraval.options import base

NAMES = st.lists(st.text(min_size=1), max_size=3, unique=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = FINITE.filter(lambda value: value > 0)


def _some(kind: type[options.Options], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[options.Options]:
    """Options with some of their fields set."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: kind(**values))


OPTIONS = st.one_of(
    _some(
        options.RequestOptions,
        signatures=NAMES,
        multi_inference=NAMES,
        features=NAMES,
        inputs=NAMES,
        num_examples=st.integers(1),
        max_dead_letter_share=st.floats(0, 1) | st.integers(0, 1),
        tag_set=NAMES,
        splits=NAMES,
    ),
    _some(
        options.WarmupOptions,
        batch_sizes=st.lists(st.integers(1), max_size=3, unique=True),
        batching_parameters_file=st.text(),
        seed=st.integers(0, 2**64 - 1),
        existing=st.sampled_from(options.ExistingWarmup),
        max_records=st.integers(1, 1000),
        compare_cold=st.booleans(),
    ),
    _some(
        options.GateOptions,
        warm=_some(options.WarmGate, ratio=st.integers(1), enabled=st.booleans(), undecided=st.sampled_from(["pass"])),
        outputs=_some(
            options.OutputsGate,
            nan=st.sampled_from(["fail", "allow"]),
            range=st.dictionaries(st.text(), st.tuples(st.none() | st.integers(-9, 0), st.none() | st.floats(0, 1))),
            sums_to_one=NAMES,
            not_batched=NAMES,
        ),
    ),
    _some(
        options.Limits,
        max_loading_time_s=POSITIVE,
        num_tries=st.integers(1),
        request_timeout_s=POSITIVE,
        concurrency=st.integers(1),
    ),
    _some(options.ProcessServer, server=st.sampled_from(["auto", "embedded"]), import_ops=NAMES),
    _some(options.ProcessServer, server=st.text(min_size=1), model_name=st.text(min_size=1)),
    _some(
        options.DockerServer,
        images=st.lists(st.from_regex(r"[a-z]+(:[0-9]+)?", fullmatch=True), max_size=3, unique=True),
        context=st.text(),
        api_version=st.text(),
        client_timeout_s=POSITIVE,
        host_ip_address=st.ip_addresses().filter(lambda address: not address.is_unspecified).map(str),
        pull=st.sampled_from(options.PullPolicy),
        model_transfer=st.sampled_from(options.ModelTransfer),
        user=st.sampled_from(["", "0", "1000", "2147483647:2147483647"]),
        memory_bytes=st.integers(0, 2**63),
        cpus=FINITE.filter(lambda value: value >= 0),
        pids=st.integers(options.MIN_PIDS),
        gpus=st.sampled_from(["", "all", "2", "device=0,GPU-1"]),
        environment=st.lists(st.sampled_from(["A", "A=", "A=1=2", "_B.c-d=\n\N{SNOWMAN}"]), max_size=3),
        server_arguments=st.lists(st.text().map(lambda text: f"-{text}"), max_size=3),
        parallel_images=st.integers(1),
    ),
    _some(options.ProcessServer, server_arguments=st.lists(st.sampled_from(["--a", "--b=1", "--b=2"]), max_size=3)),
    _some(
        options.ProcessServer,
        model_config_file=st.text(),
        monitoring_config_file=st.text(),
        platform_config_file=st.text(),
        model_version=st.none() | st.integers(1, 2**63 - 1),
    ),
    st.builds(options.ProcessServer, model_config_file=st.text(min_size=1), version_label=st.text()),
    _some(options.KubernetesServer, model_name=st.text(min_size=1)),
)


@given(OPTIONS)
def test_json_holds_exactly_what_was_set(asked: options.Options) -> None:
    """Every one comes back, with its set fields only; a server's JSON says by itself which platform it is for."""
    text = asked.to_json()
    kind = options.ServerOptions if isinstance(asked, options.ServerOptions) else type(asked)

    parsed = kind.from_json(text)

    assert parsed == asked
    assert hash(parsed) == hash(asked)
    assert set(json.loads(text)) == asked.model_fields_set
    assert parsed.to_json() == text


@given(OPTIONS)
def test_a_job_takes_every_group_as_options_and_as_a_dict(asked: options.Options) -> None:
    """With the same result, or the same refusal."""
    found: list[Any] = []
    for form in (asked, json.loads(asked.to_json())):
        try:
            found.append(options.Job(model="m", examples="e", **{asked.group: form}))
        except errors.OptionError as error:
            found.append(str(error))
        else:
            assert options.Job.from_json(found[-1].to_json()) == found[-1]
    assert found[0] == found[1]


def test_lists_tuples_strings_and_dicts_are_taken_as_people_write_them() -> None:
    """The examples of the documentation."""
    assert options.WarmupOptions(batch_sizes=[1, 8]) == options.WarmupOptions(batch_sizes=(1, 8))
    assert options.Job(model="dir").model == Path("dir")
    assert options.Job(model=Path("dir"), examples=Path("dir") / "*").examples == ("dir/*",)
    assert options.RequestOptions(signatures="all") == options.RequestOptions(signatures=["all"])
    assert options.WarmupOptions(existing="keep").existing is options.ExistingWarmup.KEEP
    job = options.Job(
        model="dir",
        examples="dir/*",
        warmup={"batch_sizes": [1, 8]},
        server={"platform": "docker", "images": "tensorflow/serving:2.16.1"},
    )
    assert job.warmup.batch_sizes == (1, 8)
    assert job.server == options.DockerServer(images=("tensorflow/serving:2.16.1",))


WRONG: list[tuple[type[options.Options], dict[str, Any]]] = [
    *(
        (options.WarmupOptions, fields)
        for fields in (
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
            {"compare_cold": "false"},
            {"compare_cold": 1},
        )
    ),
    *(
        (options.ProcessServer, fields)
        for fields in (
            {"server": ""},
            {"server": 5},
            {"server": None},
            {"server": ["embedded"]},
            {"import_ops": [1]},
            {"import_ops": [""]},
            {"import_ops": None},
            {"model_name": ""},
            {"platform": "docker"},
            {"model_version": 0},
            {"model_version": 2**63},
            {"model_version": "1"},
            {"model_config_file": 3},
            {"monitoring_config_file": ["a"]},
            {"version_label": "stable"},
        )
    ),
    *(
        (options.RequestOptions, fields)
        for fields in (
            {"signatures": ["a", 3]},
            {"signatures": [""]},
            {"signatures": ["a", "a"]},
            {"multi_inference": [["a", "b"]]},
            {"multi_inference": ""},
            {"features": {"s/x": "f"}},
            {"features": None},
            {"splits": 1},
            {"num_examples": 0},
            {"num_examples": True},
            {"max_dead_letter_share": "0.1"},
            {"max_dead_letter_share": 1.1},
            {"max_dead_letter_share": -0.1},
            {"max_dead_letter_share": float("nan")},
            {"max_dead_letter_share": True},
        )
    ),
    *(
        (options.Limits, fields)
        for fields in (
            {"max_loading_time_s": 0.0},
            {"max_loading_time_s": float("nan")},
            {"max_loading_time_s": True},
            {"num_tries": 0},
            {"num_tries": 1.5},
            {"request_timeout_s": -1.0},
            {"request_timeout_s": float("inf")},
            {"request_timeout_s": 10**400},
            {"concurrency": 0},
        )
    ),
    *(
        (options.DockerServer, fields)
        for fields in (
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
            {"environment": ["A", 3]},
            {"server_arguments": ["model_name=m"]},
            {"server_arguments": ["--model_name=m"]},
            {"server_arguments": ["--enable_batching", "--port"]},
            {"server_arguments": ["--saved_model_tags=serve,gpu"]},
            {"server_arguments": ["--batching_parameters_file=/b"]},
            {"server_arguments": ["--model_config_file=/c"]},
            {"server_arguments": ["--monitoring_config_file=/c"]},
            {"server_arguments": ["--platform_config_file=/c"]},
            {"server_arguments": ["--ssl_config_file=/c"]},
            {"server_arguments": ["--import-ops=m"]},
            {"server_arguments": ["--hold-until=f"]},
            {"server_arguments": ["--version"]},
            {"parallel_images": 0},
            {"images": ["a", "a"]},
            {"images": [" a"]},
            {"images": [""]},
            {"model_name": "a/b"},
            {"model_name": ".."},
        )
    ),
]


@pytest.mark.parametrize(("kind", "fields"), WRONG, ids=lambda value: getattr(value, "__name__", None) or repr(value))
def test_what_is_wrong_is_named_in_one_line(kind: type[options.Options], fields: dict[str, Any]) -> None:
    """By group and field, in Python as in JSON; what a variable holds is in no message, it may be a secret."""
    (name,) = fields
    with pytest.raises(errors.OptionError) as caught:
        kind(**fields)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{kind.group}.{name} ")
    assert "secret" not in line
    assert caught.value.code == "option/invalid"
    platform = {"platform": kind.model_fields["platform"].default} if kind.group == "server" else {}
    with pytest.raises(errors.OptionError) as in_job:
        options.Job(model="m", **{kind.group: {**platform, **fields}})
    assert str(caught.value) == str(in_job.value) or name == "platform"


def test_every_mistake_has_a_line_of_its_own() -> None:
    """In whatever group it is; an unknown option is answered with the known ones."""
    with pytest.raises(errors.OptionError) as caught:
        options.Job(
            modl="m",
            warmup={"batch_sizes": [0, 8], "compare_cold": "false", "batch_size": 1},
            limits={"request_timeout_s": float("inf")},
            server={"images": "a"},
            requests="predict",
        )
    starts = (
        "model is missing",
        "requests must be",
        "warmup.batch_sizes must be",
        "warmup.compare_cold must be",
        "warmup.batch_size is not an option; there are batch_sizes,",
        "server.images is an option of the docker platform only",
        "limits.request_timeout_s must be a finite number",
        "modl is not an option",
    )
    lines = str(caught.value).splitlines()
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


@pytest.mark.parametrize("key", ["", ".", "a.b", "{}", "{warmup.seed}", "warmup.seed", "\0"])
@pytest.mark.parametrize("kind", [options.Job, options.WarmupOptions, options.ProcessServer])
def test_an_unknown_option_may_have_any_name(kind: type[options.Options], key: str) -> None:
    """JSON allows any key; the message quotes it, escaped if it must be."""
    text = json.dumps({"model": "m", key: 1} if kind is options.Job else {key: 1})
    name = f"{kind.group}.{key}" if kind.group else key
    with pytest.raises(errors.OptionError) as caught:
        kind.from_json(text)
    assert str(caught.value).startswith(escape.one_line(f"{name} is not an option; there are"))


def test_an_unknown_option_of_a_server_is_answered_with_the_known_ones() -> None:
    """Those of its platform, or of all platforms if it is given by its group."""
    with pytest.raises(errors.OptionError, match=r"not an option; there are .*images") as of_one:
        options.DockerServer(imagez="i")
    with pytest.raises(errors.OptionError, match=r"not an option; there are .*images.*import_ops"):
        options.Job(model="m", server={"platform": "docker", "imagez": "i"})
    assert "import_ops" not in str(of_one.value)


@pytest.mark.parametrize(
    ("given_options", "names"),
    [
        ({"requests": {"signatures": "all"}}, {"requests.signatures"}),
        ({"warmup": {"seed": 0, "existing": "merge"}}, {"warmup.seed", "warmup.existing"}),
        ({"examples": "e", "make_warmup": False, "warmup": {"max_records": 1000}}, {"warmup.max_records"}),
        ({"examples": "e", "requests": {"splits": "eval"}}, {"requests.splits"}),
        ({"server": options.DockerServer()}, {"server.images"}),
        ({"server": {"platform": "docker", "images": "a", "base_url": "u", "context": "c"}}, {"server.base_url"}),
        ({"server": {"server": "/opt/tensorflow_model_server", "import_ops": "ops"}}, {"server.import_ops"}),
        (
            {"server": {"platform_config_file": "p"}, "warmup": {"batching_parameters_file": "b"}},
            {"server.platform_config_file"},
        ),
    ],
)
def test_options_that_others_leave_without_effect(given_options: dict[str, Any], names: set[str]) -> None:
    """Also where the default is spelled out; what a model that is only loaded can have is taken."""
    with pytest.raises(errors.OptionError) as caught:
        options.Job(model="m", **given_options)
    assert {line.split()[0] for line in str(caught.value).splitlines()} == names
    options.Job(model="m", warmup={"compare_cold": False, "batching_parameters_file": "f"}, requests={"tag_set": "a"})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"seed"', "seed=3", "{'seed': 3}", pytest.param("[" * 100_000, id="deep")],
)
def test_what_is_not_a_json_object_is_refused(text: str) -> None:
    """The message names the group."""
    for kind in (options.WarmupOptions, options.ServerOptions, options.DockerServer):
        with pytest.raises(errors.OptionError, match=rf"^{kind.group} "):
            kind.from_json(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2)))
def test_any_json_value_is_taken_or_refused(value: Any) -> None:
    """Never another error, for any field of any group."""
    for name, each in base.describe(options.Job).items():
        values: Any = value
        for part in reversed(name.split(".")):
            values = {part: values}
        if each.holder.group == "server" and name != "server.platform":
            values["server"]["platform"] = each.holder.model_fields["platform"].default
        try:
            options.Job(**{"model": "m", **values})
        except errors.OptionError:
            continue


def test_a_default_platform_and_none_that_is_unknown() -> None:
    """The names of the platforms are in the message."""
    assert options.ServerOptions.from_json("{}") == options.ProcessServer()
    for platform in ("dockr", 3, None, ["docker"]):
        with pytest.raises(errors.OptionError, match=r"^server\.platform must be one of process, docker, kubernetes"):
            options.Job(model="m", server={"platform": platform})


def test_server_options_are_always_those_of_one_platform() -> None:
    """The base is not made by itself; what is made can be copied and pickled."""
    with pytest.raises(TypeError, match="ProcessServer"):
        options.ServerOptions(platform="docker")
    server = options.ServerOptions.parse({"platform": "docker", "images": "i"})
    assert pickle.loads(pickle.dumps(server)) == server == server.model_copy()  # noqa: S301 - made here


def test_options_are_frozen() -> None:
    """They are hashable, and no stage changes them for another."""
    with pytest.raises(ValueError, match="frozen"):
        options.Limits().num_tries = 3  # type: ignore[misc]


def test_each_flag_and_each_description_is_there_once() -> None:
    """No two options of the command line have one name, and no option is without a meaning."""
    described = base.describe(options.Job).values()
    flags = [each.flag.name for each in described if each.flag]
    assert len(flags) == len(set(flags))
    assert all(each.field.description for each in described)


def test_the_reference_is_up_to_date() -> None:
    """`make docs` writes it."""
    reference = Path(__file__).parents[2] / "docs" / "reference"
    written = subprocess.run(
        [sys.executable, reference / "generate_options.py"], check=True, capture_output=True, text=True
    ).stdout
    assert (reference / "options.md").read_text(encoding="utf-8") == written


def test_cells_are_ordered_and_hashable() -> None:
    """By signature, method and batch size: reports and files come out the same."""
    cells = [options.Cell("b", options.Method.PREDICT, 1), options.Cell("a", options.Method.REGRESS, 4)]
    cells.append(options.Cell("a", options.Method.CLASSIFY, 10))
    assert [(cell.signature, cell.batch_size) for cell in sorted(cells)] == [("a", 10), ("a", 4), ("b", 1)]
    assert len({*cells, *cells}) == 3


@pytest.mark.parametrize(
    ("gates", "named"),
    [
        ({"wram": {}}, "gates.wram is not a gate with options; the gates with options are"),
        ({"load": {}}, "gates.load is not a gate with options"),
        ({"warm": {"ration": 1}}, "gates.warm.ration is not an option; there are"),
        ({"warm": {"ratio": 0.5}}, "gates.warm.ratio must be"),
        ({"warm": {"undecided": "maybe"}}, "gates.warm.undecided must be"),
        ({"warm": 3}, "gates.warm must be"),
        ({"size": {"max_bytes": "many"}}, "gates.size.max_bytes must be a number of bytes such as"),
        ({"size": {"max_bytes": 0}}, "gates.size.max_bytes must be"),
        ({"outputs": {"range": {"p": [1, 0]}}}, "gates.outputs.range gives 'p' a lowest value above"),
        ({"outputs": {"range": [["p", [0, 1]]]}}, "gates.outputs.range must be an object"),
        ({"outputs": {"range": {"p": [0]}}}, "gates.outputs.range "),
    ],
)
def test_a_mistake_about_a_gate_is_named(gates: dict[str, Any], named: str) -> None:
    """By gate and field, with what there is."""
    with pytest.raises(errors.OptionError) as caught:
        options.Job(model="m", gates=gates)
    assert str(caught.value).splitlines()[0].startswith(named)


def test_a_gate_that_is_named_must_decide() -> None:
    """Unless its options say what an undecided one means; a gate that is not named need not."""
    gates = options.GateOptions(warm={"ratio": 5}, outputs={"undecided": "fail"})
    assert (gates.undecided("warm"), gates.undecided("outputs"), gates.undecided("load")) == ("error", "fail", "pass")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"examples": "e"}, "baseline"),
        ({"baseline": "b"}, "examples"),
        (
            {"examples": "e", "baseline": "b", "server": {"platform": "docker", "images": ["i"]}},
            "server.model_transfer",
        ),
        (
            {
                "examples": "e",
                "baseline": "b",
                "server": {"platform": "docker", "images": ["i"], "model_transfer": "mount"},
            },
            None,
        ),
        ({"examples": "e", "baseline": "b"}, None),
    ],
)
def test_a_swap_needs_a_baseline_requests_and_a_place_for_another_version(
    given: dict[str, Any], named: str | None
) -> None:
    """A container whose model is copied has no such place."""
    if named is None:
        assert options.Job(model="m", gates={"swap": {"enabled": True}}, **given).on("swap")
        return
    with pytest.raises(errors.OptionError) as caught:
        options.Job(model="m", gates={"swap": {"enabled": True}}, **given)
    assert "gates.swap" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("given", "on"),
    [
        ({}, False),
        ({"gates": {"determinism": {"enabled": True}}}, True),
        ({"gates": {"determinism": {"tolerance": 0.1}}}, True),
        ({"warmup": {"batching_parameters_file": "b"}}, True),
        ({"server": {"server_arguments": "--enable_batching"}}, True),
        ({"server": {"server_arguments": ["--enable_batching", "--enable_batching=false"]}}, False),
        ({"warmup": {"batching_parameters_file": "b"}, "gates": {"determinism": {"enabled": False}}}, False),
    ],
)
def test_determinism_is_on_where_batching_is(given: dict[str, Any], on: bool) -> None:
    """Unless it is turned off; naming it turns it on elsewhere."""
    assert options.Job(model="m", **given).on("determinism") is on
    assert options.GateOptions().undecided("warm") == "pass"
    assert not options.GateOptions(warm={"enabled": False}).on("warm")


def test_a_gate_that_is_off_by_default_is_turned_on_by_an_option_of_it() -> None:
    """Not by one that says it is off; bytes may have a unit."""
    assert not options.GateOptions().on("size")
    asked = options.GateOptions(size={"max_bytes": "512m"})
    assert asked.on("size")
    assert asked.size.max_bytes == 512 << 20
    assert not options.GateOptions(size={"max_bytes": "1k", "enabled": False}).on("size")
