"""The digits pipeline as a PipelineSpec for Kubeflow Pipelines v2 and Vertex."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tfx import v1 as tfx
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

import config
import pipeline

# An empty string stands for a parameter that is not set: `{}` would be a proto whose fields hold its defaults, and a
# RequestSpec without make_warmup wants no warmup.
RUNTIME_PARAMETERS: Mapping[str, str] = {
    "serving_spec": "",
    "validation_spec": "",
    "request_spec": "",
    "requests": pipeline.SPECS["requests"].to_json(),
    "warmup": pipeline.SPECS["warmup"].to_json(),
    "server": "",
}
"""Parameters of a run: `WarmupInfraValidator`'s arguments, each a proto or options as JSON, and their defaults."""


def make_pipeline(
    *,
    pipeline_root: str,
    data: str = config.IMAGE_EXAMPLES,
    destination: str | None = None,
    cache: bool = False,
    baseline: bool = False,
    conditional_push: bool = False,
) -> tfx.dsl.Pipeline:
    """Puts the pipeline together for containers that share no disk.

    Args:
      pipeline_root: URI that every task can read and write, with TFX's file system and with the back end's launcher.
      data: URI of the folder with a TFRecord file a split; a path is one within the image.
      destination: URI of the model base path that Pusher adds a version to; below the pipeline root by default.
      cache: whether results of earlier runs are taken. No back end sees that an image moved under its tag, and
        open-source KFP does not see that files changed under their URI.
      baseline: see `pipeline.make_components`.
      conditional_push: the same.
    """
    specs = {
        name: tfx.dsl.experimental.RuntimeParameter(name=name, ptype=str, default=default)
        for name, default in RUNTIME_PARAMETERS.items()
    }
    root = pipeline_root.rstrip("/")
    return tfx.dsl.Pipeline(
        pipeline_name=config.NAME,
        pipeline_root=root,
        components=pipeline.make_components(
            data=data,
            destination=destination or f"{root}/serving_model/{config.NAME}",
            trainer={"run_fn": config.TRAINER_FUNCTION},
            specs=specs | {"output_report": True},
            baseline=baseline,
            conditional_push=conditional_push,
        ),
        enable_cache=cache,
        beam_pipeline_args=pipeline.BEAM_PIPELINE_ARGS,
    )


def compile_to(path: Path, made: tfx.dsl.Pipeline, image: str) -> list[str]:
    """Writes the pipeline as YAML of a PipelineSpec, schema 2.1.0.

    Args:
      path: gets the file; its folder is made.
      made: from `make_pipeline`.
      image: component image that every task runs in.

    Returns:
      Names of the tasks.
    """
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image,
            # TFX's own, once the input artifacts have the types that open-source KFP does not send.
            default_commands=["python", "-m", "infraval.tfx.kubeflow_entry_point"],
            use_pipeline_spec_2_1=True,
        )
    )
    compiled: dict[str, Any] = runner.run(made, write_out=False)["pipelineSpec"]
    # What TFX leaves out: the root, which is in its JSON format only, and the defaults, without which each run has to
    # name every parameter.
    compiled["defaultPipelineRoot"] = made.pipeline_info.pipeline_root
    for name, definition in compiled["root"]["inputDefinitions"]["parameters"].items():
        definition.update(defaultValue=RUNTIME_PARAMETERS[name], isOptional=True)
    tasks: dict[str, Any] = compiled["root"]["dag"]["tasks"]
    for task in tasks.values():
        _use_names_of_inputs(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(compiled), encoding="utf-8")
    return list(tasks)


def _use_names_of_inputs(task: dict[str, Any]) -> None:
    """Has a condition call the task's inputs by their names, which alone a back end knows.

    TFX calls them by `_producer.key`, and adds an input of that name only where the task has no such input already.
    """
    policy = task.get("triggerPolicy", {})
    for name, source in task.get("inputs", {}).get("artifacts", {}).items() if policy else ():
        given = source["taskOutputArtifact"]
        policy["condition"] = policy["condition"].replace(
            f"['_{given['producerTask']}.{given['outputArtifactKey']}']", f"['{name}']"
        )
