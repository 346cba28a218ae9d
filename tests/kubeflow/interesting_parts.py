"""What of a compiled pipeline a reader of a diff wants to see; `interesting_parts.py FILE.yaml > golden.json`.

Left out are the version of TFX, and what says a thing a second time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml


def main(package: Path) -> str:
    """JSON of the parts, in a fixed order."""
    spec = yaml.safe_load(package.read_text(encoding="utf-8"))
    parts = {
        "schemaVersion": spec["schemaVersion"],
        "defaultPipelineRoot": spec["defaultPipelineRoot"],
        "parameters": spec["root"]["inputDefinitions"]["parameters"],
        "tasks": {name: _task(spec, task) for name, task in spec["root"]["dag"]["tasks"].items()},
    }
    return json.dumps(parts, indent=1, sort_keys=True, ensure_ascii=False)


def _task(spec: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    component = spec["components"][task["componentRef"]["name"]]
    return {
        "executorLabel": component["executorLabel"],
        "executor": _executor(
            spec["deploymentSpec"]["executors"][component["executorLabel"]], component.get("inputDefinitions", {})
        ),
        "after": task.get("dependentTasks", []),
        "inputs": task.get("inputs", {}),
        "parameters": component.get("inputDefinitions", {}).get("parameters", {}),
        "takes": _types(component.get("inputDefinitions", {})),
        "gives": _types(component["outputDefinitions"]),
        **{key: task[key] for key in ("cachingOptions", "triggerPolicy") if key in task},
    }


def _executor(executor: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    container = executor.get("container")
    if not container:
        return executor
    return _command(container, inputs) | {
        "image": container["image"],
        "lifecycle": {name: _command(hook, inputs) for name, hook in container.get("lifecycle", {}).items()},
    }


def _command(given: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Without the argument that repeats the definitions of the inputs, as long as it does."""
    args = list(given["args"])
    repeated = args.index("--json_serialized_inputs_spec_args") + 1
    if json.loads(args[repeated]) == inputs:
        args[repeated] = "…"
    return {"command": given["command"], "args": args}


def _types(definitions: dict[str, Any]) -> dict[str, Any]:
    """Schemas of the artifacts, parsed."""
    return {
        key: yaml.safe_load(artifact["artifactType"]["instanceSchema"])
        for key, artifact in definitions.get("artifacts", {}).items()
    }


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
