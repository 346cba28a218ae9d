"""The real TFX executor on real artifacts, without a pipeline around it."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, message
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import base_beam_executor
from tfx.orchestration import data_types
from tfx.proto import infra_validator_pb2, pusher_pb2
from tfx.types import standard_artifacts

from infraval import errors, evidence, options, validation, verdict
from infraval.tfx.executor import Executor

Run = Callable[..., standard_artifacts.InfraBlessing]

PROCESS = options.ProcessServer(server="embedded").to_json()


@pytest.fixture(scope="module")
def model(taxi_model: Path) -> standard_artifacts.Model:
    """The taxi model as Trainer left it."""
    artifact = standard_artifacts.Model()
    artifact.uri = str(taxi_model.parents[3])
    return artifact


@pytest.fixture(scope="module")
def examples(taxi_examples: Path) -> standard_artifacts.Examples:
    """The taxi Examples as ExampleGen left them."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(taxi_examples)
    artifact.split_names = '["train", "eval"]'
    return artifact


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the executor as TFX's launcher does."""

    def do(
        model: standard_artifacts.Model,
        examples: list[standard_artifacts.Examples],
        **exec_properties: Any,
    ) -> standard_artifacts.InfraBlessing:
        blessing = standard_artifacts.InfraBlessing()
        blessing.uri = str(tmp_path / "blessing")
        context = base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        properties = {"server": PROCESS} | {
            name: json_format.MessageToJson(value) if isinstance(value, message.Message) else value
            for name, value in exec_properties.items()
        }
        Executor(context).Do({"model": [model], "examples": examples}, {"blessing": [blessing]}, properties)
        return blessing

    return do


def _report(blessing: standard_artifacts.InfraBlessing) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((Path(blessing.uri) / "report.json").read_text())
    return report


def test_examples_alone_mean_default_requests_with_a_warmup(
    run: Run,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without request_spec the model gets a warmup file, and TFX's own Pusher pushes that very copy."""
    with caplog.at_level(logging.INFO, "infraval"):
        blessing = run(model, [examples])
    assert "Blessed by infraval embedded server" in caplog.text
    assert "1 warmup records replayed, 1 of 1 requests answered" in caplog.text
    assert f"The blessed model is in {blessing.uri}" in caplog.text
    assert "starts cold" not in caplog.text

    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("has_model") == 1
    assert blessing.get_string_custom_property("verdict") == "BLESSED"
    assert _report(blessing)["servers"][0]["records_replayed"] == 1
    findings = _report(blessing)["servers"][0]["findings"]
    for finding in findings:
        assert blessing.get_string_custom_property(f"gate_{finding['gate']}") == finding["status"]
        if finding["figure"] is not None:
            assert blessing.get_float_custom_property(f"gate_{finding['gate']}_figure") == finding["figure"]
    assert {"warm", "outputs"} <= {finding["gate"] for finding in findings}

    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    destination = pusher_pb2.PushDestination(
        filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(tmp_path / "serving"))
    )
    pusher_executor.Executor().Do(
        {"infra_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": json_format.MessageToJson(destination)},
    )
    (version,) = (tmp_path / "serving").iterdir()
    assert (version / options.WARMUP_FILE).read_bytes() == (
        Path(blessing.uri) / "stamped_model" / options.WARMUP_FILE
    ).read_bytes()


def test_examples_alone_that_do_not_fit_are_not_used(
    run: Run, penguin_model: Path, examples: standard_artifacts.Examples, caplog: pytest.LogCaptureFixture
) -> None:
    """InfraValidator sends nothing without a request_spec, so a pipeline that worked goes on working."""
    model = standard_artifacts.Model()
    model.uri = str(penguin_model.parent)

    blessing = run(model, [examples])

    report = _report(blessing)
    assert report["examples"] is None
    assert report["servers"][0]["requests"] == []
    assert report["servers"][0]["findings"][0]["status"] == "passed"
    warning = next(record for record in caplog.records if "only loaded" in record.message)
    assert warning.levelname == "WARNING"
    assert "body_mass_g" in warning.message
    assert "request_spec" in warning.message


def test_a_request_spec_is_taken_literally(
    run: Run,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """make_warmup unset means none, as in InfraValidator; the log says that the model will be cold."""
    request_spec = infra_validator_pb2.RequestSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(signature_names=["predict", "regression"]),
        split_name="eval",
        num_examples=3,
    )

    blessing = run(model, [examples], request_spec=request_spec)

    report = _report(blessing)
    assert blessing.get_int_custom_property("blessed") == 1
    assert report["warmup"]["records"] == 0
    assert [each["cell"]["signature"] for each in report["servers"][0]["requests"]] == ["predict", "regression"] * 3
    assert report["examples"]["records_read"] == 5091
    assert "will be cold" in caplog.text


def test_a_model_is_only_loaded_without_examples(run: Run, model: standard_artifacts.Model) -> None:
    """Load-only, as in InfraValidator."""
    blessing = run(model, [])

    assert blessing.get_int_custom_property("blessed") == 1
    assert _report(blessing)["servers"][0]["requests"] == []


@pytest.mark.parametrize(
    ("request_spec", "records", "warned"),
    [
        (None, 0, 1),
        (None, 1, 0),
        (infra_validator_pb2.RequestSpec(make_warmup=True), 0, 1),
        (infra_validator_pb2.RequestSpec(num_examples=1), 0, 0),
    ],
)
def test_a_blessed_model_that_lacks_its_warmup_is_warned_of(
    request_spec: Any,
    records: int,
    warned: int,
    run: Run,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If one was asked for; names in the log are escaped."""
    server = evidence.Server("s", "1\x1b[31m\n2", "docker", embedded=False, image="i", image_id="sha256:0")
    warmup = evidence.Warmup(records)
    shown = evidence.Evidence(evidence.Boot(server, load_time_s=1.0), 1, 0, warmup)
    judged = verdict.Verdict((verdict.ServerVerdict(shown, ()),), "00" * 32, warmup, warnings=("No\nindex.",))
    monkeypatch.setattr(validation, "validate", lambda *_, **__: judged)
    with caplog.at_level(logging.INFO, "infraval"):
        blessing = run(model, [examples], request_spec=request_spec)
    assert blessing.get_int_custom_property("blessed") == 1
    assert caplog.text.count("was to get a warmup file and has none") == warned
    assert "Blessed by i (1\\x1b[31m 2)" in caplog.text
    assert "No index." in caplog.text


def test_a_failing_model_is_not_blessed_and_the_artifact_says_why(
    run: Run, penguin_model: Path, examples: standard_artifacts.Examples
) -> None:
    """Pusher sees blessed = 0, and a person sees the reason."""
    model = standard_artifacts.Model()
    model.uri = str(penguin_model.parent)

    blessing = run(model, [examples], request_spec=infra_validator_pb2.RequestSpec())

    assert blessing.get_int_custom_property("blessed") == 0
    assert not blessing.has_custom_property("has_model")
    assert "body_mass_g" in blessing.get_string_custom_property("reasons")
    assert sorted(path.name for path in Path(blessing.uri).iterdir()) == ["INFRA_NOT_BLESSED", "report.json"]


@pytest.mark.parametrize(
    ("properties", "code", "match"),
    [
        (
            {
                "serving_spec": infra_validator_pb2.ServingSpec(local_docker=infra_validator_pb2.LocalDockerConfig()),
                "server": "",
            },
            "option/invalid",
            "server.images is missing: .* needs an image of a model server",
        ),
        (
            {"serving_spec": infra_validator_pb2.ServingSpec(local_docker=infra_validator_pb2.LocalDockerConfig())},
            "option/invalid",
            "serving_spec names the docker platform, and server.platform is process",
        ),
        ({"server": '{"pull": "never"}'}, "option/invalid", "server.pull is an option of the docker platform only"),
        (
            {"server": '{"platform": "docker", "images": ["i"], "pull": "sometimes"}'},
            "option/invalid",
            "server.pull must be 'never', 'if-missing' or 'always', not 'sometimes'",
        ),
        (
            {
                "serving_spec": infra_validator_pb2.ServingSpec(kubernetes=infra_validator_pb2.KubernetesConfig()),
                "server": "",
            },
            "platform/not-built",
            "the kubernetes platform yet",
        ),
        (
            {"request_spec": infra_validator_pb2.RequestSpec(split_name="test")},
            "examples/no-split",
            "no split test",
        ),
        (
            {"requests": options.RequestOptions(splits=("train", "test")).to_json()},
            "examples/no-split",
            r"no split test; they have train, eval\. Name one of these",
        ),
        ({"requests": '{"signatures": 1}'}, "option/invalid", "requests.signatures must be a list, not 1"),
        ({"requests": '{"signatures": ["predict:session_run"]}'}, "option/invalid", "does not name a method"),
        (
            {
                "request_spec": infra_validator_pb2.RequestSpec(num_examples=1),
                "warmup": options.WarmupOptions(existing=options.ExistingWarmup.REPLACE).to_json(),
            },
            "option/invalid",
            "warmup.existing is about the warmup file, and request_spec.make_warmup says to write none",
        ),
        ({"request_spec": "{"}, "option/invalid", "RequestSpec"),
        ({"warmup": '{"batch_size": 3}'}, "option/invalid", "warmup.batch_size is not an option"),
        ({"server": "[]"}, "option/invalid", "server must be a JSON object"),
        ({"limits": '{"request_timeout_s": Infinity}'}, "option/invalid", "limits.request_timeout_s must be a finite"),
        ({"server_messages": "none"}, "option/invalid", "server_messages must be 'full', 'redacted' or 'codes'"),
        ({"gates": "[]"}, "option/invalid", "gates must be a JSON object"),
        ({"gates": '{"wram": {"ratio": 5}}'}, "option/invalid", "gates.wram is not a gate with options"),
        ({"gates": '{"warm": {"ration": 5}}'}, "option/invalid", "gates.warm.ration is not an option"),
        ({"gates": '{"warm": {"ratio": "5"}}'}, "option/invalid", "gates.warm.ratio must be a valid number, not '5'"),
        (
            {
                "gates": '{"outputs": {"range": {"z": [0, 1]}}}',
                "requests": '{"signatures": ["classification:classify"]}',
            },
            "option/invalid",
            r"gates\.outputs\.range\) names 'z'.* There are: scores",
        ),
    ],
)
def test_what_cannot_be_judged_raises_and_leaves_nothing(
    run: Run,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    properties: dict[str, Any],
    code: str,
    match: str,
    tmp_path: Path,
) -> None:
    """A bad option fails the component; it is no verdict about the model."""
    with pytest.raises(errors.InfravalError, match=match) as caught:
        run(model, [examples], **properties)

    assert caught.value.code == code
    assert not (tmp_path / "blessing").exists()


@pytest.mark.parametrize("content", [None, gzip.compress(b"", mtime=0)], ids=["no shard", "empty shard"])
def test_an_empty_split_raises(
    run: Run, model: standard_artifacts.Model, content: bytes | None, tmp_path: Path
) -> None:
    """No shard in it, or none with a record; the message names the place."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples[1]")  # a name that means something else to a glob
    artifact.split_names = '["eval"]'
    split = Path(artifact.uri) / "Split-eval"
    split.mkdir(parents=True)
    if content is not None:
        (split / "data_tfrecord-00000-of-00001.gz").write_bytes(content)

    with pytest.raises(errors.ExamplesError, match=f"No file matches .*{tmp_path}|The examples have no records"):
        run(model, [artifact], request_spec=infra_validator_pb2.RequestSpec(make_warmup=True))

    assert not (tmp_path / "blessing").exists()


@pytest.mark.parametrize(
    ("changes", "code", "match"),
    [
        ({"payload_format": "FORMAT_PARQUET"}, "examples/format", "payload format FORMAT_PARQUET"),
        ({"payload_format": 15}, "examples/format", "payload format FORMAT_PARQUET"),
        ({"file_format": "sstable"}, "examples/format", "file format sstable"),
        ({"custom_split_pattern": '{"train": "a*", "eval": "b*"}'}, "examples/format", "custom_split_pattern"),
        ({"split_names": ""}, "examples/no-split", "property split_names is empty"),
        ({"payload_format": "FORMAT_PROTO", "split_names": '["no"]'}, "examples/missing", "Split-no"),
    ],
)
def test_examples_that_are_not_read(
    run: Run,
    model: standard_artifacts.Model,
    taxi_examples: Path,
    changes: dict[str, Any],
    code: str,
    match: str,
    tmp_path: Path,
) -> None:
    """Another format is named; it is not called corrupt. What is in the records does not matter."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(taxi_examples)
    artifact.split_names = changes.get("split_names", '["train", "eval"]')
    for name, value in changes.items() - {"split_names": artifact.split_names}.items():
        set_property = artifact.set_int_custom_property if value == 15 else artifact.set_string_custom_property
        set_property(name, value)
    with pytest.raises(errors.ExamplesError, match=match) as caught:
        run(model, [artifact], request_spec=infra_validator_pb2.RequestSpec(make_warmup=True))
    assert caught.value.code == code
    assert not (tmp_path / "blessing").exists()


def test_options_about_requests_without_examples_raise(run: Run, model: standard_artifacts.Model) -> None:
    """Unlike InfraValidator's own request_spec, which is of no use then and does no harm."""
    with pytest.raises(
        errors.OptionError, match=r"requests\.signatures is about the requests, and there are no examples"
    ):
        run(model, [], requests=options.RequestOptions(signatures=("predict",)).to_json())
    with pytest.raises(errors.OptionError, match=r"requests\.splits is about the examples"):
        run(model, [], requests=options.RequestOptions(splits="eval").to_json())
    blessing = run(
        model, [], request_spec=infra_validator_pb2.RequestSpec(num_examples=3, split_name="eval", make_warmup=True)
    )
    assert blessing.get_int_custom_property("blessed") == 1


def test_a_runtime_parameter_without_a_value_counts_as_its_default(
    run: Run, model: standard_artifacts.Model, tmp_path: Path
) -> None:
    """InteractiveContext hands over the parameter itself, or its JSON."""
    batch = data_types.RuntimeParameter(name="warmup", ptype=str, default='{"batch_size": 1}')
    for given in (batch, str(batch)):
        with pytest.raises(errors.OptionError, match=r"warmup\.batch_size is not an option"):
            run(model, [], warmup=given)
    assert not (tmp_path / "blessing").exists()


def test_several_splits_of_several_spans_with_options(
    run: Run,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    taxi_examples: Path,
    tmp_path: Path,
) -> None:
    """Every split of every artifact is read; stated methods and pairs take the place of the proto's signatures."""
    span = standard_artifacts.Examples()
    span.uri = str(tmp_path / "span [2]")
    span.split_names = '["train", "eval"]'
    for split in ("train", "eval"):
        shard = Path(span.uri) / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        shard.parent.mkdir(parents=True)
        shutil.copy(taxi_examples / f"Split-{split}" / "data_tfrecord-00000-of-00012.gz", shard)
    given = options.RequestOptions(
        signatures=("classification:classify",),
        multi_inference=("classification,regression",),
        splits=("eval", "train"),
    )

    blessing = run(
        model,
        [examples, span],
        requests=given.to_json(),
        request_spec=infra_validator_pb2.RequestSpec(make_warmup=True, split_name="eval"),
    )

    report = _report(blessing)
    assert blessing.get_int_custom_property("blessed") == 1
    assert report["examples"]["records_read"] > 15_000 + 1_000
    assert [(each["cell"]["signature"], each["cell"]["method"]) for each in report["servers"][0]["requests"]] == [
        ("classification", "classify"),
        ("classification,regression", "multi_inference"),
    ]


def test_what_is_asked_of_the_gates_decides_the_blessing(
    run: Run, model: standard_artifacts.Model, examples: standard_artifacts.Examples
) -> None:
    """The property `gates` is JSON; ML Metadata has each gate's status and main figure, and none of one that is off."""
    blessing = run(
        model,
        [examples],
        requests=options.RequestOptions(signatures=("classification:classify",), num_examples=3).to_json(),
        gates='{"outputs": {"range": {"scores": [0.9, null]}}, "warm": {"enabled": false}}',
    )

    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_string_custom_property("gate_outputs") == "failed"
    assert blessing.get_float_custom_property("gate_outputs_figure") == 0
    assert blessing.get_string_custom_property("gate_responses") == "passed"
    assert blessing.get_float_custom_property("gate_responses_figure") == 3
    assert not blessing.has_custom_property("gate_warm")
    (failed,) = [each for each in _report(blessing)["servers"][0]["findings"] if each["status"] == "failed"]
    assert (failed["gate"], failed["figure"], failed["bar"]) == ("outputs", 0, 3)


def test_options_reach_the_server_and_the_sample(
    run: Run, model: standard_artifacts.Model, examples: standard_artifacts.Examples
) -> None:
    """Batch sizes, model name and limits arrive where they act."""
    blessing = run(
        model,
        [examples],
        warmup=options.WarmupOptions(batch_sizes=(1, 3), seed=7).to_json(),
        serving_spec=infra_validator_pb2.ServingSpec(model_name="taxi"),
        validation_spec=infra_validator_pb2.ValidationSpec(max_loading_time_seconds=60, num_tries=1),
    )

    assert [each["cell"]["batch_size"] for each in _report(blessing)["servers"][0]["requests"]] == [1, 3]
    assert b"taxi" in (Path(blessing.uri) / "stamped_model" / options.WARMUP_FILE).read_bytes()
