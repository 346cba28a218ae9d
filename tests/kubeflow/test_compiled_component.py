"""`WarmupInfraValidator` in pipelines that TFX compiles for Kubeflow Pipelines v2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx import v1 as tfx
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
from tfx.types import standard_artifacts

import infraval
from infraval.tfx import kubeflow_entry_point, report_artifacts

pytestmark = pytest.mark.kfp


def test_a_pipeline_compiles_for_kubeflow_pipelines_v2(importers: tuple[Any, Any], tmp_path: Path) -> None:
    """Schema 2.1.0, with a RuntimeParameter for a proto and for an extra."""
    examples, model = importers
    validator = infraval.WarmupInfraValidator(
        model=model.outputs["result"],
        examples=examples.outputs["result"],
        serving_spec=tfx.proto.ServingSpec(model_name="taxi"),
        request_spec=tfx.dsl.experimental.RuntimeParameter(name="request-spec", ptype=str, default="{}"),
        requests=infraval.RequestOptions(signatures=("classify:classify",), splits=("eval",)),
        warmup=tfx.dsl.experimental.RuntimeParameter(name="warmup-spec", ptype=str, default="{}"),
        server=infraval.ProcessServer(import_ops=("my_ops",)),
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
    assert parameters["warmup"]["componentInputParameter"] == "warmup-spec"
    assert json.loads(parameters["server"]["runtimeValue"]["constant"]) == {
        "import_ops": ["my_ops"],
        "platform": "process",
    }
    assert json.loads(parameters["requests"]["runtimeValue"]["constant"]) == {
        "signatures": ["classify:classify"],
        "splits": ["eval"],
    }
    executor = compiled["deploymentSpec"]["executors"]["WarmupInfraValidator_executor"]["container"]
    assert "infraval.tfx.executor.Executor" in executor["args"]


def test_the_blessed_model_is_an_output_if_asked_for(importers: tuple[Any, Any], tmp_path: Path) -> None:
    """A Model, which BulkInferrer takes, under a condition on the blessing; also in Kubeflow Pipelines v2."""
    examples, model = importers
    assert set(infraval.WarmupInfraValidator(model=model.outputs["result"]).outputs) == {"blessing"}
    validator = infraval.WarmupInfraValidator(model=model.outputs["result"], output_blessed_model=True)
    with tfx.dsl.Cond(validator.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        inferrer = tfx.components.BulkInferrer(
            examples=examples.outputs["result"], model=validator.outputs["blessed_model"]
        )

    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="image", use_pipeline_spec_2_1=True)
    kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=config, output_dir=str(tmp_path), output_filename="pipeline.yaml"
    ).run(tfx.dsl.Pipeline("compiled", "gs://bucket/root", components=[examples, model, validator, inferrer]))

    compiled = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    outputs = compiled["components"]["WarmupInfraValidator"]["outputDefinitions"]["artifacts"]
    schemas = {name: yaml.safe_load(each["artifactType"]["instanceSchema"]) for name, each in outputs.items()}
    assert {name: schema["title"] for name, schema in schemas.items()} == {
        "blessing": "tfx.InfraBlessing",
        "blessed_model": "tfx.Model",
    }
    task = compiled["root"]["dag"]["tasks"]["BulkInferrer"]
    assert task["inputs"]["artifacts"]["model"]["taskOutputArtifact"] == {
        "producerTask": "WarmupInfraValidator",
        "outputArtifactKey": "blessed_model",
    }
    assert "metadata['blessed'] == 1" in task["triggerPolicy"]["condition"]


def test_the_report_is_an_output_of_kubeflow_pipelines_own_types_if_asked_for(importers: tuple[Any, Any]) -> None:
    """KFP shows and compares what has these titles; TFX's entry point finds their classes once they are registered."""
    _, model = importers
    assert set(infraval.WarmupInfraValidator(model=model.outputs["result"]).outputs) == {"blessing"}
    validator = infraval.WarmupInfraValidator(model=model.outputs["result"], output_report=True)
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="image", use_pipeline_spec_2_1=True)
    compiled = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config).run(
        tfx.dsl.Pipeline("compiled", "gs://bucket/root", components=[model, validator]), write_out=False
    )["pipelineSpec"]

    outputs = compiled["components"]["WarmupInfraValidator"]["outputDefinitions"]["artifacts"]
    schemas = {name: yaml.safe_load(each["artifactType"]["instanceSchema"]) for name, each in outputs.items()}
    assert {name: schema["title"] for name, schema in schemas.items()} == {
        "blessing": "tfx.InfraBlessing",
        "report": "system.HTML",
        "metrics": "system.Metrics",
    }
    kubeflow_entry_point.register_types()
    lists = {
        name: pipeline_spec_pb2.ArtifactList(artifacts=[{"type": {"instance_schema": yaml.safe_dump(schema)}}])
        for name, schema in schemas.items()
    }
    parsed = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(lists)
    assert {name: type(artifact) for name, (artifact,) in parsed.items()} == {
        "blessing": standard_artifacts.InfraBlessing,
        "report": report_artifacts.Page,
        "metrics": report_artifacts.Metrics,
    }
