"""Entry point of a TFX task on Kubeflow Pipelines v2: sees to artifacts' types, then runs TFX's entry point.

    python -m infraval.tfx.kubeflow_entry_point --executor_class_path … --json_serialized_invocation_args … …

TFX's entry point needs the type of each input artifact. Vertex sends it; open-source KFP 2.x does not (its driver reads
artifacts from ML Metadata without it: tensorflow/tfx issue 7768), and kfp.local sends `system.Artifact`. The argument
`--json_serialized_inputs_spec_args` names the type in all cases. It also needs to know where the classes of KFP's own
types are that WarmupInfraValidator puts out. A pipeline chooses this entry point with
`KubeflowV2DagRunnerConfig(default_commands=["python", "-m", "infraval.tfx.kubeflow_entry_point"])`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from infraval import errors, signals, streams, workspace

_TFX = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
_EXECUTOR_INPUT = "--json_serialized_invocation_args"
_INPUTS_SPEC = "--json_serialized_inputs_spec_args"


def main() -> None:
    """Runs the executor in this process, as TFX's module does."""
    # As process 1 of a container, Python would ignore SIGTERM.
    with signals.abort_on_signal(lambda sentence: os.write(streams.standard_error(), f"{sentence}\n".encode())):
        try:
            workspace.check()
        except errors.SandboxError as error:
            sys.exit(f"infraval: {error}")
        sys.argv[1:] = restore_types(sys.argv[1:])
        with streams.held_back():
            importlib.import_module("tensorflow")
        register_types()
        runpy.run_module(_TFX, run_name="__main__", alter_sys=True)


def register_types() -> None:
    """Tells TFX where the classes of KFP's own types are; it would import `system.HTML` under that name."""
    from tfx.orchestration.kubeflow.v2 import compiler_utils  # noqa: PLC0415 - takes seconds, after the work space is checked

    from infraval.tfx import report_artifacts  # noqa: PLC0415 - the same

    compiler_utils.TITLE_TO_CLASS_PATH.update(report_artifacts.CLASS_PATHS)


def restore_types(arguments: Sequence[str]) -> list[str]:
    """The same arguments, with the declared type on each input artifact that does not have a TFX type.

    Args:
      arguments: of TFX's module, among them an ExecutorInput and a ComponentInputsSpec (kfp's pipeline_spec.proto) as
        JSON.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(_EXECUTOR_INPUT, dest="executor_input")
    parser.add_argument(_INPUTS_SPEC, dest="inputs_spec")
    given, others = parser.parse_known_args(arguments)
    if given.executor_input is None or given.inputs_spec is None:
        return list(arguments)
    executor_input = json.loads(given.executor_input)
    declared = json.loads(given.inputs_spec).get("artifacts", {})
    for name, artifacts in executor_input.get("inputs", {}).get("artifacts", {}).items():
        for artifact in artifacts.get("artifacts", ()):
            if name in declared and not _is_typed(artifact):
                artifact["type"] = declared[name]["artifactType"]
    return [_EXECUTOR_INPUT, json.dumps(executor_input), _INPUTS_SPEC, given.inputs_spec, *others]


def _is_typed(artifact: dict[str, Any]) -> bool:
    """Whether the type is more specific than KFP's own, such as `system.Artifact`."""
    given = artifact.get("type", {})
    title = given.get("schemaTitle", "")
    return "instanceSchema" in given or bool(title and not title.startswith("system."))


if __name__ == "__main__":
    main()
