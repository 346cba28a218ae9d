"""The types that the entry point gives to a task's input artifacts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infraval.tfx import kubeflow_entry_point

Artifact = dict[str, Any]

SPEC = {"artifacts": {"model": {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}}}


@pytest.mark.parametrize(
    ("given", "restored"),
    [
        (None, SPEC["artifacts"]["model"]["artifactType"]),
        ({}, SPEC["artifacts"]["model"]["artifactType"]),
        ({"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}, SPEC["artifacts"]["model"]["artifactType"]),
        ({"schemaTitle": "tfx.Examples"}, {"schemaTitle": "tfx.Examples"}),
        ({"instanceSchema": "title: tfx.Examples\n"}, {"instanceSchema": "title: tfx.Examples\n"}),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_only_a_missing_type_is_restored(given: Artifact | None, restored: Artifact, joined: bool) -> None:
    """What open-source KFP and kfp.local send is; what Vertex sends stays as it is, and so does everything else."""
    artifact = {"uri": "/model"} | ({} if given is None else {"type": given})
    undeclared = {"uri": "/other"}
    executor_input = {
        "inputs": {"artifacts": {"model": {"artifacts": [artifact]}, "other": {"artifacts": [undeclared]}}},
        "outputs": {"outputFile": "/out"},
    }
    flags = {
        "--json_serialized_invocation_args": json.dumps(executor_input),
        "--json_serialized_inputs_spec_args": json.dumps(SPEC),
    }
    passed = (
        [f"{name}={text}" for name, text in flags.items()] if joined else [x for pair in flags.items() for x in pair]
    )

    arguments = kubeflow_entry_point.restore_types(["--executor_class_path", "a.B", *passed, "--runner=FnApiRunner"])

    assert json.loads(arguments[arguments.index("--json_serialized_invocation_args") + 1]) == {
        "inputs": {
            "artifacts": {
                "model": {"artifacts": [{"uri": "/model", "type": restored}]},
                "other": {"artifacts": [undeclared]},
            }
        },
        "outputs": {"outputFile": "/out"},
    }
    assert json.loads(arguments[arguments.index("--json_serialized_inputs_spec_args") + 1]) == SPEC
    assert arguments[-3:] == ["--executor_class_path", "a.B", "--runner=FnApiRunner"]


def test_arguments_without_a_spec_are_left_alone() -> None:
    """A pipeline in the schema before 2.1 has none; what it lacks is for TFX's entry point to say."""
    arguments = ["--executor_class_path", "a.B", "--json_serialized_invocation_args", "{}"]
    assert kubeflow_entry_point.restore_types(arguments) == arguments
