"""`WarmupInfraValidator` in pipelines: arguments, compilation, and what importing it costs."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tfx.components import InfraValidator
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

import infraval
from infraval.tfx import component
from tfx import v1 as tfx


@pytest.fixture
def importers() -> tuple[Any, Any]:
    """Examples and Model that come from outside the pipeline."""
    examples = tfx.dsl.Importer(
        source_uri="gs://bucket/examples", artifact_type=tfx.types.standard_artifacts.Examples
    ).with_id("Examples")
    model = tfx.dsl.Importer(source_uri="gs://bucket/model", artifact_type=tfx.types.standard_artifacts.Model).with_id(
        "Model"
    )
    return examples, model


def test_the_arguments_are_those_of_infra_validator() -> None:
    """A pipeline switches over by one import: every argument of InfraValidator's is there, in its place."""
    theirs = inspect.signature(InfraValidator.__init__).parameters
    ours = inspect.signature(infraval.WarmupInfraValidator.__init__).parameters

    for name in ("model", "serving_spec", "examples", "request_spec", "validation_spec"):
        assert list(ours).index(name) == list(theirs).index(name)
    # What is new is optional and by keyword, so no call that works today means something else.
    extras = [ours[name] for name in ours if name not in theirs]
    assert all(extra.kind is extra.KEYWORD_ONLY and extra.default is None for extra in extras)


def test_a_pipeline_compiles_for_kubeflow_pipelines_v2(importers: tuple[Any, Any], tmp_path: Path) -> None:
    """Schema 2.1.0, with a RuntimeParameter for a proto and for an extra."""
    examples, model = importers
    validator = infraval.WarmupInfraValidator(
        model=model.outputs["result"],
        examples=examples.outputs["result"],
        serving_spec=tfx.proto.ServingSpec(model_name="taxi"),
        request_spec=tfx.dsl.experimental.RuntimeParameter(name="request-spec", ptype=str, default="{}"),
        request_options=infraval.RequestOptions(signatures=("classify:classify",), splits=("eval",)),
        warmup_spec=tfx.dsl.experimental.RuntimeParameter(name="warmup-spec", ptype=str, default="{}"),
        process_spec=infraval.ProcessSpec(import_ops=("my_ops",)),
    )
    pusher = tfx.components.Pusher(
        infra_blessing=validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory="gs://bucket/serving")
        ),
    )
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="image", use_pipeline_spec_2_1=True)
    kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=config, output_dir=str(tmp_path), output_filename="pipeline.yaml"
    ).run(
        tfx.dsl.Pipeline(
            pipeline_name="compiled",
            pipeline_root="gs://bucket/root",
            components=[examples, model, validator, pusher],
        )
    )

    compiled = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    task = compiled["root"]["dag"]["tasks"]["WarmupInfraValidator"]
    parameters = task["inputs"]["parameters"]
    assert compiled["schemaVersion"] == "2.1.0"
    assert parameters["request_spec"]["componentInputParameter"] == "request-spec"
    assert parameters["warmup_spec"]["componentInputParameter"] == "warmup-spec"
    assert json.loads(parameters["process_spec"]["runtimeValue"]["constant"]) == {"import_ops": ["my_ops"]}
    assert json.loads(parameters["request_options"]["runtimeValue"]["constant"]) == {
        "signatures": ["classify:classify"],
        "splits": ["eval"],
    }
    executor = compiled["deploymentSpec"]["executors"]["WarmupInfraValidator_executor"]["container"]
    assert "infraval.tfx.executor.Executor" in executor["args"]


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
    assert set(infraval.__all__) == {
        "DockerSpec",
        "ExistingWarmup",
        "Job",
        "ProcessSpec",
        "RequestOptions",
        "RequestSpec",
        "ServingSpec",
        "ValidationSpec",
        "WarmupInfraValidator",
        "WarmupSpec",
        "validate",
    }
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
        "import infraval; assert 'tensorflow' not in sys.modules\n"
        "import infraval.cli, infraval.validation, infraval.report.terminal\n"
        "import infraval.requests.beam_transform, infraval.requests.inspection\n"
        "import infraval_server.__main__\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_the_repository_root_holds_no_second_copy_of_the_package() -> None:
    """`components.infraval` would be another module with other exception classes."""
    assert importlib.util.find_spec("components") is None
