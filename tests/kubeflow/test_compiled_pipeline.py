"""The file that `run_kubeflow.py` writes: what is in it, and who can read it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.auth import credentials
from google.cloud import aiplatform
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.utils import import_utils

import infraval
from infraval.tfx import kubeflow_entry_point

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TFX = ".".join(importlib.metadata.version("tfx").split(".")[:2])
GOLDEN = ROOT / "tests" / "golden" / "kubeflow.json"

pytestmark = pytest.mark.kfp


def _read(package: Path) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(package.read_text(encoding="utf-8"))
    return spec


def _load_with_kfp(python: Path | str, package: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [python, "-W", "ignore", HERE / "load_package.py", package], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    loaded: dict[str, Any] = json.loads(finished.stdout)
    return loaded


def test_what_is_compiled_has_not_changed(compiled: Path) -> None:
    """Commands, parameters, artifact types and the order of tasks, against what was looked at and found right.

    If a change is meant: `tests/kubeflow/interesting_parts.py FILE.yaml > tests/golden/kubeflow.json`, with a FILE.yaml
    of the options that conftest.py compiles with.
    """
    parts = subprocess.run(
        [sys.executable, HERE / "interesting_parts.py", compiled], capture_output=True, text=True, check=True
    ).stdout

    assert json.loads(parts) == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", ["compiled", pytest.param("compiled_for_vertex", marks=pytest.mark.slow)])
def test_it_is_a_pipeline_spec(package: str, request: pytest.FixtureRequest) -> None:
    """Every field is one of the proto's, and the parts that TFX leaves out of its YAML are there."""
    spec = json_format.ParseDict(_read(request.getfixturevalue(package)), pipeline_spec_pb2.PipelineSpec())

    assert spec.schema_version == "2.1.0"
    assert spec.default_pipeline_root == "gs://bucket/root"
    assert spec.pipeline_info.name == "digits"
    assert all(parameter.is_optional for parameter in spec.root.input_definitions.parameters.values())


@pytest.mark.parametrize(
    ("python", "lock"),
    [
        pytest.param(sys.executable, f"tfx-{TFX}.txt", id="lock"),
        # An environment more.
        pytest.param(ROOT / ".venv-kfp" / "bin" / "python", "kfp.txt", id="newest", marks=pytest.mark.slow),
    ],
)
def test_kfp_loads_it(python: Path | str, lock: str, compiled: Path, digits_components: list[str]) -> None:
    """The lock's kfp and `make setup-kfp`'s: the same tasks, and no parameter that a run has to give."""
    loaded = _load_with_kfp(python, compiled)

    assert f"\nkfp=={loaded['kfp']} " in (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert (loaded["name"], loaded["schema"]) == ("digits", "2.1.0")
    assert set(loaded["tasks"]) == set(digits_components)
    assert loaded["required"] == []
    assert infraval.WarmupOptions.from_json(loaded["optional"]["warmup"]).batch_sizes == (1, 8)
    assert "classify:classify" in infraval.RequestOptions.from_json(loaded["optional"]["requests"]).signatures
    # Not `{}`, which would be a RequestSpec without make_warmup.
    assert {loaded["optional"][name] for name in ("serving_spec", "validation_spec", "request_spec")} == {""}


@pytest.mark.parametrize("package", ["compiled", pytest.param("compiled_for_vertex", marks=pytest.mark.slow)])
def test_vertex_takes_it(package: str, request: pytest.FixtureRequest) -> None:
    """Vertex's own client reads the file, finds the root in it, and checks a parameter's name and type."""
    aiplatform.init(project="project", location="europe-west4", credentials=credentials.AnonymousCredentials())
    template = str(request.getfixturevalue(package))

    job = aiplatform.PipelineJob(
        display_name="digits", template_path=template, parameter_values={"validation_spec": '{"num_tries": 1}'}
    ).to_dict()

    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    assert job["runtimeConfig"]["parameterValues"] == {"validation_spec": '{"num_tries": 1}'}
    with pytest.raises(ValueError, match="no_such_spec"):
        aiplatform.PipelineJob(display_name="digits", template_path=template, parameter_values={"no_such_spec": "{}"})


def _artifact_schemas(spec: dict[str, Any]) -> Iterator[str]:
    for component in spec["components"].values():
        for direction in ("inputDefinitions", "outputDefinitions"):
            for artifact in component.get(direction, {}).get("artifacts", {}).values():
                yield artifact["artifactType"]["instanceSchema"]


@pytest.mark.slow
def test_every_artifact_type_is_found_by_its_title(compiled_for_vertex: Path) -> None:
    """A task has nothing but the title to find the class by: TFX's table and what is added to it, or else a path."""
    kubeflow_entry_point.register_types()
    titles = {yaml.safe_load(schema)["title"] for schema in _artifact_schemas(_read(compiled_for_vertex))}

    assert {"tfx.InfraBlessing", "tfx.Model", "tfx.PushedModel"} <= titles
    for title in titles:
        found = import_utils.import_class_by_path(compiler_utils.TITLE_TO_CLASS_PATH.get(title, title))
        assert yaml.safe_load(compiler_utils.get_artifact_schema(found))["title"] == title


@pytest.mark.slow
def test_a_container_has_all_that_the_trainer_task_names(compiled: Path, tmp_path: Path) -> None:
    """The function is found by its path alone, with `pipeline/` on Python's path as in the image; nothing is packed."""
    inputs = _read(compiled)["root"]["dag"]["tasks"]["Trainer"]["inputs"]["parameters"]
    module, _, function = inputs["run_fn"]["runtimeValue"]["constant"].rpartition(".")

    subprocess.run(
        [sys.executable, "-c", f"from {module} import {function}"],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "pipeline")},
    )

    assert "module_file" not in inputs
    assert "module_path" not in inputs


@pytest.mark.slow
def test_the_pusher_waits_for_both_blessings(compiled: Path, compiled_for_vertex: Path) -> None:
    """By a condition on both if asked for; else it starts anyway and looks at them itself."""
    plain, conditional = (_read(each)["root"]["dag"]["tasks"]["Pusher"] for each in (compiled, compiled_for_vertex))

    assert "triggerPolicy" not in plain
    assert conditional["triggerPolicy"]["condition"] == " && ".join(
        f"(inputs.artifacts['{name}'].artifacts[0].metadata['blessed'] == 1.0)"
        for name in ("model_blessing", "infra_blessing")
    )
    # A back end evaluates it on the task's inputs: what it names has to be one.
    assert {"model_blessing", "infra_blessing"} <= set(conditional["inputs"]["artifacts"])
    for task in (plain, conditional):
        assert {"Evaluator", "WarmupInfraValidator"} <= set(task["dependentTasks"])


@pytest.mark.slow
def test_a_resolver_finds_the_baseline(compiled_for_vertex: Path, digits_components: list[str]) -> None:
    """The latest ModelBlessing, then the Model that it blesses, which Evaluator compares the new one with."""
    spec = _read(compiled_for_vertex)
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]

    assert set(tasks) - set(digits_components) == {
        "LatestBlessedModel-model-blessing-resolver",
        "LatestBlessedModel-model-resolver",
    }
    assert tasks["Evaluator"]["inputs"]["artifacts"]["baseline_model"]["taskOutputArtifact"] == {
        "producerTask": "LatestBlessedModel-model-resolver",
        "outputArtifactKey": "model",
    }
    queries = executors["LatestBlessedModel-model-blessing-resolver_executor"]["resolver"]["outputArtifactQueries"]
    assert 'schema_title="tfx.ModelBlessing"' in queries["model_blessing"]["filter"]
    eval_config = json.loads(tasks["Evaluator"]["inputs"]["parameters"]["eval_config"]["runtimeValue"]["constant"])
    (metric,) = eval_config["metrics_specs"][0]["metrics"]
    assert metric["threshold"]["change_threshold"] == {"absolute": -0.01, "direction": "HIGHER_IS_BETTER"}


@pytest.mark.slow
def test_results_of_earlier_runs_are_taken_only_if_asked_for(
    compiled: Path, compiled_for_vertex: Path, digits_components: list[str]
) -> None:
    """No back end sees that an image moved under its tag."""
    plain, cached = (_read(each)["root"]["dag"]["tasks"] for each in (compiled, compiled_for_vertex))

    assert all("cachingOptions" not in task for task in plain.values())
    assert all(cached[name]["cachingOptions"] == {"enableCache": True} for name in digits_components)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_said_so(run_kubeflow: Any, tmp_path: Path) -> None:
    """One sentence and exit code 2: no run came of it."""
    (tmp_path / "digits.yaml").mkdir()
    finished = run_kubeflow(tmp_path / "digits.yaml")

    assert finished.returncode == 2
    assert finished.stderr == f"{tmp_path / 'digits.yaml'} cannot be written: Is a directory\n"


@pytest.mark.slow
def test_a_root_that_tfx_cannot_read_is_warned_of(run_kubeflow: Any, tmp_path: Path) -> None:
    """KFP's own default among them. The image may have a TensorFlow that can, so the file is written all the same."""
    finished = run_kubeflow(tmp_path / "digits.yaml", "--pipeline-root", "minio://mlpipeline/digits")

    assert finished.returncode == 0
    assert finished.stderr.startswith("TensorFlow as it is installed here cannot read minio:// URIs.")
    assert (tmp_path / "digits.yaml").exists()
