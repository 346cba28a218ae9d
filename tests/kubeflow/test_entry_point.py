"""A compiled pipeline's tasks as Kubeflow Pipelines runs them: their own command line, JSON in and JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx import v1 as tfx
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import standard_artifacts

import infraval
from infraval import options

Artifact = dict[str, Any]
RunTask = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = ["python", "-m", "infraval.tfx.kubeflow_entry_point"]

pytestmark = pytest.mark.kfp


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """PipelineSpec of model and Examples -> WarmupInfraValidator -> Pusher, its specs runtime parameters."""
    model = tfx.dsl.Importer(source_uri="/model", artifact_type=standard_artifacts.Model).with_id("Model")
    examples = tfx.dsl.Importer(source_uri="/examples", artifact_type=standard_artifacts.Examples).with_id("Examples")
    specs = {
        name: tfx.dsl.experimental.RuntimeParameter(name=name, ptype=str, default="")
        for name in ("serving_spec", "validation_spec", "requests", "warmup")
    }
    validator = infraval.WarmupInfraValidator(
        model=model.outputs["result"],
        examples=examples.outputs["result"],
        request_spec=tfx.proto.RequestSpec(make_warmup=True, num_examples=2),
        server=infraval.ProcessServer(server="embedded"),
        output_blessed_model=True,
        output_report=True,
        **specs,
    )
    pusher = tfx.components.Pusher(
        infra_blessing=validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(tmp_path_factory.mktemp("serving") / "m")
            )
        ),
    )
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image="image", default_commands=COMMAND, use_pipeline_spec_2_1=True
        )
    )
    made = tfx.dsl.Pipeline(
        "taxi",
        "/root",
        components=[model, examples, validator, pusher],
        beam_pipeline_args=["--runner=FnApiRunner"],
    )
    found: dict[str, Any] = runner.run(made, write_out=False)["pipelineSpec"]
    return found


@pytest.fixture
def run_task(compiled: dict[str, Any], tmp_path: Path) -> RunTask:
    """Runs a task's command with the ExecutorInput that KFP 2.x's driver and launcher make for it."""

    def run(task: str, inputs: dict[str, Artifact], **parameters: str | None) -> subprocess.CompletedProcess[str]:
        component = compiled["components"][task]
        constants = {
            name: value["runtimeValue"]["constant"]
            for name, value in compiled["root"]["dag"]["tasks"][task]["inputs"]["parameters"].items()
            if "runtimeValue" in value
        }
        outputs = {
            name: {"artifacts": [{"type": each["artifactType"], "uri": str(tmp_path / task / name), "metadata": {}}]}
            for name, each in component["outputDefinitions"]["artifacts"].items()
        }
        executor_input = {
            "inputs": {
                "parameterValues": constants | parameters,
                "artifacts": {name: {"artifacts": [artifact]} for name, artifact in inputs.items()},
            },
            "outputs": {"artifacts": outputs, "outputFile": str(tmp_path / task / "output_metadata.json")},
        }
        container = compiled["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        assert container["command"] == COMMAND
        arguments = [json.dumps(executor_input) if each == "{{$}}" else each for each in container["args"]]
        return subprocess.run(
            [sys.executable, *COMMAND[1:], *arguments], capture_output=True, text=True, check=False, env=os.environ
        )

    return run


def output(tmp_path: Path, task: str, name: str) -> Artifact:
    """An output artifact as the next task gets it: read back from ML Metadata, numbers as floats and without a type."""
    written = json.loads((tmp_path / task / "output_metadata.json").read_text())
    (artifact,) = written["artifacts"][name]["artifacts"]
    assert all(isinstance(value, (str, float)) for value in artifact["metadata"].values())
    return {"name": "12", "uri": artifact["uri"], "metadata": artifact["metadata"]}


@pytest.fixture
def examples(taxi_examples: Path) -> Artifact:
    """What ExampleGen has put out."""
    return {"name": "7", "uri": str(taxi_examples), "metadata": {"split_names": '["train", "eval"]', "span": 0.0}}


@pytest.fixture
def model(taxi_model: Path) -> Artifact:
    """What Trainer has put out."""
    return {"name": "8", "uri": str(taxi_model.parents[3]), "metadata": {"tfx_version": "1.16.0"}}


@pytest.mark.slow
def test_a_blessing_survives_and_is_pushed(
    run_task: RunTask, model: Artifact, examples: Artifact, tmp_path: Path
) -> None:
    """`blessed` and `has_model` come back as floats, and TFX's Pusher pushes the warm copy all the same.

    Runtime parameters come as text, as an empty text where nothing is set, or as null; and what a killed try has left
    at the URI, which Kubeflow Pipelines gives to the next try too, does no harm.
    """
    leftover = tmp_path / "WarmupInfraValidator" / "blessing" / "stamped_model" / "saved_model.pb"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a graph")

    validated = run_task(
        "WarmupInfraValidator",
        {"model": model, "examples": examples},
        warmup=options.WarmupOptions(batch_sizes=(1, 2)).to_json(),
        requests="",
        serving_spec="",
        validation_spec=None,
    )
    assert validated.returncode == 0, validated.stderr
    blessing = output(tmp_path, "WarmupInfraValidator", "blessing")
    metadata = blessing["metadata"]
    assert {name: metadata[name] for name in ("blessed", "has_model", "warmup_records", "requests_failed")} == {
        "blessed": 1.0,
        "has_model": 1.0,
        "warmup_records": 3.0,
        "requests_failed": 0.0,
    }
    assert metadata["verdict"] == "BLESSED"
    assert metadata["load_time_s"] > 0
    blessed_model = Path(output(tmp_path, "WarmupInfraValidator", "blessed_model")["uri"])
    assert (blessed_model / "Format-Serving" / options.WARMUP_FILE).exists()

    # KFP shows the file at the one's URI, and compares the other's properties.
    report = Path(output(tmp_path, "WarmupInfraValidator", "report")["uri"])
    assert report.read_bytes() == (Path(blessing["uri"]) / "report.html").read_bytes()
    metrics = output(tmp_path, "WarmupInfraValidator", "metrics")["metadata"]
    assert {"verdict", "blessed", "load_time_s", "requests", "requests_failed", "gate_warm_figure"} <= set(metrics)
    assert {name: metadata[name] for name in metrics} == metrics

    pushed = run_task("Pusher", {"infra_blessing": blessing})
    assert pushed.returncode == 0, pushed.stderr
    properties = output(tmp_path, "Pusher", "pushed_model")["metadata"]
    assert properties["pushed"] == 1.0
    assert Path(properties["pushed_destination"], options.WARMUP_FILE).exists()


@pytest.mark.slow
def test_a_model_that_is_not_blessed_is_not_pushed(
    run_task: RunTask, penguin_model: Path, examples: Artifact, tmp_path: Path
) -> None:
    """No task fails; the reason is in the task's log and in the blessing's properties, and Pusher sees `blessed` 0."""
    model = {"name": "8", "uri": str(penguin_model.parent), "metadata": {}}

    validated = run_task("WarmupInfraValidator", {"model": model, "examples": examples})
    assert validated.returncode == 0, validated.stderr
    blessing = output(tmp_path, "WarmupInfraValidator", "blessing")
    assert blessing["metadata"]["blessed"] == 0.0
    assert "has_model" not in blessing["metadata"]
    assert "body_mass_g" in blessing["metadata"]["reasons"]
    assert f"Not blessed (responses): {blessing['metadata']['reasons']}" in validated.stderr
    assert not Path(output(tmp_path, "WarmupInfraValidator", "blessed_model")["uri"], "Format-Serving").exists()
    assert "body_mass_g" in Path(output(tmp_path, "WarmupInfraValidator", "report")["uri"]).read_text()
    assert output(tmp_path, "WarmupInfraValidator", "metrics")["metadata"]["blessed"] == 0.0

    pushed = run_task("Pusher", {"infra_blessing": blessing})
    assert pushed.returncode == 0, pushed.stderr
    assert output(tmp_path, "Pusher", "pushed_model")["metadata"]["pushed"] == 0.0


@pytest.mark.slow
def test_what_cannot_be_judged_fails_the_task(
    run_task: RunTask, model: Artifact, examples: Artifact, tmp_path: Path
) -> None:
    """Nothing here has a file system for KFP's own `minio://`: the task fails with a sentence, puts out nothing."""
    examples["uri"] = "minio://mlpipeline/v2/artifacts/taxi/examples"

    validated = run_task("WarmupInfraValidator", {"model": model, "examples": examples})

    assert validated.returncode != 0
    message = validated.stderr.strip().splitlines()[-1]
    assert "OptionError: " in message
    assert "minio://mlpipeline/v2/artifacts/taxi/examples/Split-train" in message
    assert not (tmp_path / "WarmupInfraValidator" / "output_metadata.json").exists()
