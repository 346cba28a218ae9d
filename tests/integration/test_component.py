"""`WarmupInfraValidator` in pipelines: arguments, and what importing it costs."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from tfx import v1 as tfx
from tfx.components import InfraValidator

import infraval
from infraval import errors
from infraval.tfx import component, from_protos


def test_the_arguments_are_those_of_infra_validator() -> None:
    """A pipeline switches over by one import: every argument of InfraValidator's is there, in its place."""
    theirs = inspect.signature(InfraValidator.__init__).parameters
    ours = inspect.signature(infraval.WarmupInfraValidator.__init__).parameters

    for name in ("model", "serving_spec", "examples", "request_spec", "validation_spec"):
        assert list(ours).index(name) == list(theirs).index(name)
    # What is new is optional and by keyword, so no call that works today means something else.
    extras = [ours[name] for name in ours if name not in theirs]
    assert all(extra.kind is extra.KEYWORD_ONLY and extra.default in {None, False} for extra in extras)


def test_constants_in_the_requests_dict(importers: tuple[Any, Any]) -> None:
    """They reach the job as they were written."""
    examples, model = importers
    validator = infraval.WarmupInfraValidator(
        model=model.outputs["result"],
        examples=examples.outputs["result"],
        requests={"inputs": ["serving_default/k=0.5", 'serving_default/mode="fast"']},
    )
    job = from_protos.read(validator.exec_properties, examples=True).make_job(model="model", examples="*")
    assert job.requests.inputs == ("serving_default/k=0.5", 'serving_default/mode="fast"')


PARAMETER = tfx.dsl.experimental.RuntimeParameter(name="p", ptype=str, default="{}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"warmup": {"batch_sizes": [0]}}, r"^warmup\.batch_sizes must be greater than or equal to 1, not 0\.$"),
        ({"warmup": '{"seed": -1}'}, r"^warmup\.seed must be"),
        ({"warmup": infraval.RequestOptions()}, "warmup takes infraval's WarmupOptions, .* was given RequestOptions"),
        ({"server": {"images": "i"}}, r"server\.images is an option of the docker platform only"),
        ({"server": infraval.DockerServer(cpus=1)}, r"server\.images is missing"),
        ({"server": {"imags": "i"}, "warmup": PARAMETER}, r"server\.imags is not an option"),
        ({"server": {"platform": "docker", "pull": 1}, "serving_spec": PARAMETER}, r"server\.pull must be"),
        ({"limits": {"request_timeout_s": float("nan")}}, r"limits\.request_timeout_s must be a finite number"),
        ({"server_messages": "none"}, "server_messages must be"),
        ({"request_spec": {"num_examples": 3}, "warmup": {"existing": "keep"}}, r"request_spec\.make_warmup says"),
        (
            {"serving_spec": infraval.DockerServer(images="i")},
            "ServingSpec, and was given .*DockerServer; .* as server",
        ),
        ({"requests": tfx.proto.RequestSpec()}, "requests takes infraval's RequestOptions, .* was given RequestSpec"),
        ({"warmup": {"batch_sizes": [PARAMETER]}}, "a RuntimeParameter within warmup; make warmup as a whole"),
        ({"serving_spec": {"model_name": PARAMETER}}, "a RuntimeParameter within serving_spec"),
        ({"serving_spec": tfx.proto.ServingSpec(model_name=str(PARAMETER))}, "a RuntimeParameter within serving_spec"),
    ],
)
def test_an_option_that_is_wrong_is_refused_when_the_pipeline_is_built(
    arguments: dict[str, Any], says: str, importers: tuple[Any, Any]
) -> None:
    """Not after the model was trained."""
    examples, model = (importer.outputs["result"] for importer in importers)
    with pytest.raises(errors.OptionError, match=says):
        infraval.WarmupInfraValidator(model=model, examples=examples, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"serving_spec": tfx.proto.ServingSpec(kubernetes=tfx.proto.KubernetesConfig())},
        {"serving_spec": {"kubernetes": {}}},
        {"server": {"platform": "kubernetes"}},
        {"server": infraval.KubernetesServer(), "warmup": PARAMETER},
    ],
)
def test_a_platform_that_is_not_built_is_refused_when_the_pipeline_is_built(
    arguments: dict[str, Any], importers: tuple[Any, Any]
) -> None:
    """The same; what Docker needs is for the machine that runs the task, and is not looked at."""
    examples, model = (importer.outputs["result"] for importer in importers)
    with pytest.raises(errors.PlatformNotBuiltError, match="kubernetes"):
        infraval.WarmupInfraValidator(model=model, examples=examples, **arguments)


@pytest.mark.parametrize("name", ["requests", "warmup", "server", "limits", "gates", "server_messages"])
def test_every_extra_is_taken_in_every_form(name: str, importers: tuple[Any, Any]) -> None:
    """As options, a dict, JSON or a RuntimeParameter; the execution gets the same JSON."""
    example = {
        "requests": infraval.RequestOptions(signatures="all", max_dead_letter_share=0),
        "warmup": infraval.WarmupOptions(batch_sizes=[1, 8]),
        "server": infraval.DockerServer(images="tensorflow/serving:2.16.1", pull="never"),
        "limits": infraval.Limits(request_timeout_s=3),
        "gates": infraval.GateOptions(warm={"ratio": 5}),
    }.get(name)
    forms = ["codes"] if example is None else [example, json.loads(example.to_json()), example.to_json()]
    examples, model = (importer.outputs["result"] for importer in importers)

    made = [infraval.WarmupInfraValidator(model=model, examples=examples, **{name: form}) for form in forms]
    later = infraval.WarmupInfraValidator(model=model, examples=examples, **{name: PARAMETER})

    properties = [validator.exec_properties[name] for validator in made]
    assert set(properties) == {example.to_json() if example else "codes"}
    assert str(later.exec_properties[name]) == str(PARAMETER)


def test_infra_validators_docker_spec_is_refined(importers: tuple[Any, Any]) -> None:
    """Its images and its engine, with the limits that the proto has no fields for."""
    serving = tfx.proto.ServingSpec(
        tensorflow_serving=tfx.proto.TensorFlowServing(tags=["2.16.1"], digests=["sha256:1"]),
        local_docker=tfx.proto.LocalDockerConfig(client_base_url="tcp://engine:1", host_ip_address="localhost"),
        model_name="taxi",
    )
    validator = infraval.WarmupInfraValidator(
        model=importers[1].outputs["result"],
        serving_spec=serving,
        server={"memory_bytes": 5, "base_url": "tcp://other:1"},
        validation_spec=tfx.proto.ValidationSpec(max_loading_time_seconds=7, num_tries=2),
        limits={"num_tries": 3},
    )

    job = from_protos.read(validator.exec_properties, examples=False).make_job(model="m")

    assert job.server == infraval.DockerServer(
        images=("tensorflow/serving:2.16.1", "tensorflow/serving@sha256:1"),
        base_url="tcp://engine:1",
        model_name="taxi",
        memory_bytes=5,
    )
    assert job.limits == infraval.Limits(max_loading_time_s=7, num_tries=3)
    assert job.requests.tag_set == ("serve",)


def test_the_component_takes_its_own_beam_arguments(importers: tuple[Any, Any]) -> None:
    """The requests are prepared by Beam, so a pipeline can say on what runner."""
    validator = infraval.WarmupInfraValidator(model=importers[1].outputs["result"])

    configured = validator.with_beam_pipeline_args(["--runner=DirectRunner"])

    assert configured.executor_spec.beam_pipeline_args == ["--runner=DirectRunner"]


def test_every_public_name_resolves() -> None:
    """What `__all__` promises is there, and the lazy names are the real ones."""
    for name in infraval.__all__:
        assert getattr(infraval, name) is not None
    assert infraval.WarmupInfraValidator is component.WarmupInfraValidator
    every_error = {name for name in vars(errors) if name.endswith("Error")}
    assert set(infraval.__all__) == every_error | {
        "DockerServer",
        "Evidence",
        "ExistingWarmup",
        "Finding",
        "GateOptions",
        "Job",
        "KubernetesServer",
        "Limits",
        "ModelTransfer",
        "OutputsGate",
        "ProcessServer",
        "PullPolicy",
        "RequestOptions",
        "Verdict",
        "WarmGate",
        "WarmupInfraValidator",
        "WarmupOptions",
        "validate",
    }
    assert set(infraval.__all__) <= set(dir(infraval))
    assert not {name for name in infraval.__all__ if hasattr(tfx.proto, name)}
    with pytest.raises(AttributeError):
        _ = infraval.no_such_name  # type: ignore[attr-defined]


def test_importing_infraval_or_its_core_needs_no_tfx() -> None:
    """The core, the command line and the embedded server run where tfx is not installed."""
    code = (
        "import sys\n"
        "class NoTfx:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('tfx', 'ml_metadata'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTfx())\n"
        "import infraval; assert not {'tensorflow', 'pydantic', 'grpc', 'rich'} & {*sys.modules}\n"
        "import infraval.cli, infraval.validation, infraval.report.terminal\n"
        "import infraval.requests.beam_transform, infraval.requests.inspection\n"
        "import infraval_server.__main__\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_the_repository_root_holds_no_second_copy_of_the_package() -> None:
    """`components.infraval` would be another module with other exception classes."""
    assert importlib.util.find_spec("components") is None
