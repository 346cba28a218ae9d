"""Submitting and following a run: kfp's own client, over HTTP, against a stand-in for KFP's API server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import kfp_server_api
import pytest

PIPELINE = Path(__file__).parents[2] / "pipeline"

pytestmark = pytest.mark.kfp


@pytest.fixture
def kubeflow_run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, imported as `run_kubeflow.py` imports it."""
    monkeypatch.syspath_prepend(PIPELINE)
    import kubeflow_run as module  # noqa: PLC0415 - its folder is on the path only now

    return module


@pytest.fixture
def submission(kubeflow_run: ModuleType, tmp_path: Path) -> Any:
    """A pipeline that is small and that KFP would take."""
    package = tmp_path / "small.yaml"
    package.write_text(
        "pipelineInfo: {name: small}\nschemaVersion: 2.1.0\nsdkVersion: tfx\n"
        "root: {dag: {tasks: {Trainer: {componentRef: {name: Trainer}, taskInfo: {name: Trainer}}}}}\n"
        "components: {Trainer: {executorLabel: trainer}}\n"
        "deploymentSpec: {executors: {trainer: {container: {image: i, command: [c]}}}}\n"
    )
    return kubeflow_run.Submission(
        package=package, pipeline_root="gs://bucket/root", experiment="digits", run_name="digits 1"
    )


def _task(name: str, state: str, message: str = "") -> dict[str, Any]:
    return (
        {"display_name": name, "state": state, "error": {"message": message}}
        if message
        else {
            "display_name": name,
            "state": state,
        }
    )


def _look(state: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"state": state, "run_details": {"task_details": list(tasks)}}


@pytest.mark.slow
def test_the_command_compiles_submits_and_follows(run_kubeflow: Any, kfp_api: Any, tmp_path: Path) -> None:
    """One command, exit code 0: the experiment is made, and the run has the package, the root and the parameters."""
    kfp_api.looks = [
        _look("PENDING"),
        _look("RUNNING", _task("Trainer-driver", "SUCCEEDED"), _task("Trainer", "RUNNING")),
        _look("SUCCEEDED", _task("Trainer", "SUCCEEDED")),
    ]

    names = ["--experiment", "mine", "--run-name", "first", "--service-account", "digits-pipeline"]
    parameter = ["--parameter", 'validation_spec={"num_tries": 1}']
    finished = run_kubeflow(tmp_path / "p.yaml", "--host", kfp_api.url, "--poll", "0.01", *names, *parameter)

    assert finished.returncode == 0, finished.stderr
    (run,) = kfp_api.runs
    assert kfp_api.experiments == {run["experiment_id"]: "mine"}
    assert (run["display_name"], run["service_account"]) == ("first", "digits-pipeline")
    assert run["runtime_config"] == {
        "pipeline_root": "gs://bucket/root/",
        "parameters": {"validation_spec": '{"num_tries": 1}'},
    }
    assert run["pipeline_spec"]["schemaVersion"] == "2.1.0"
    assert "Trainer" in run["pipeline_spec"]["root"]["dag"]["tasks"]
    lines = finished.stdout.splitlines()
    assert lines[0] == f"Compiled {tmp_path / 'p.yaml'}"
    assert lines[-3:] == ["Trainer RUNNING", "Trainer SUCCEEDED", "Run run-1 SUCCEEDED"]
    assert finished.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("script", ["run_kubeflow.py", "run_kfp_local.py"])
def test_a_parameter_without_a_value_is_refused(script: str, tmp_path: Path) -> None:
    """Before anything is compiled or run, on a cluster and with kfp.local alike."""
    fixed = {
        "run_kubeflow.py": ["--pipeline-root=gs://bucket", "--image=i", f"--output={tmp_path}/p.yaml"],
        "run_kfp_local.py": [str(tmp_path / "p.yaml"), f"--pipeline-root={tmp_path}"],
    }
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", PIPELINE / script, *fixed[script], "--parameter", "warmup"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("--parameter: warmup is no NAME=VALUE")


def test_a_host_that_cannot_be_reached_ends_the_command_at_once(
    kubeflow_run: ModuleType, submission: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and one sentence that names the host."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code = kubeflow_run.run(host, submission, tasks=["Trainer"], poll_s=0.01)

    said = capsys.readouterr().err
    assert code == 2
    assert len(said.splitlines()) == 1
    assert said.startswith(f"No KFP answers at {host}: ")


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"])
def test_a_run_is_followed_until_it_ends(kubeflow_run: ModuleType, submission: Any, kfp_api: Any, state: str) -> None:
    """However it ends: kfp's own wait would wait for ever for a run that was canceled."""
    kfp_api.looks = [_look("PENDING"), _look("RUNNING"), _look(state)]
    client = kubeflow_run.connect(kfp_api.url)

    run_id = kubeflow_run.submit(client, submission)

    assert kubeflow_run.follow(client, run_id, tasks=["Trainer"], tell=print, poll_s=0.01) == state


def test_each_change_of_a_task_is_told_once(kubeflow_run: ModuleType, submission: Any, kfp_api: Any) -> None:
    """With the reason of a failure, and without what KFP runs around the pipeline's tasks."""
    kfp_api.looks = [
        {"state": "PENDING"},
        _look("RUNNING", _task("root", "RUNNING"), _task("Trainer", "RUNNING")),
        _look("RUNNING", _task("root", "RUNNING"), _task("Trainer", "RUNNING")),
        _look("FAILED", _task("executor", "FAILED"), _task("Trainer", "FAILED", "exit code 1"))
        | {"error": {"message": "task Trainer failed"}},
    ]
    client, told = kubeflow_run.connect(kfp_api.url), list[str]()
    run_id = kubeflow_run.submit(client, submission)

    kubeflow_run.follow(client, run_id, tasks=["Trainer"], tell=told.append, poll_s=0.01)

    assert told == ["Trainer RUNNING", "Trainer FAILED: exit code 1", "task Trainer failed"]


def test_an_experiment_that_is_there_is_taken(kubeflow_run: ModuleType, submission: Any, kfp_api: Any) -> None:
    """By its name; KFP would answer a second one of the same name with an error."""
    kfp_api.experiments["experiment-7"] = "digits"

    kubeflow_run.submit(kubeflow_run.connect(kfp_api.url), submission)

    assert kfp_api.experiments == {"experiment-7": "digits"}
    assert kfp_api.runs[0]["experiment_id"] == "experiment-7"


def test_what_kfp_refuses_is_shown_in_its_own_words(
    kubeflow_run: ModuleType, submission: Any, kfp_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: such as the Resolver, which open-source KFP does not run."""
    kfp_api.refusal = (400, "resolver executors not implemented")

    code = kubeflow_run.run(kfp_api.url, submission, tasks=["Trainer"], poll_s=0.01)

    assert code == 2
    assert capsys.readouterr().err == f"{kfp_api.url} answered 400: resolver executors not implemented\n"


def test_a_run_that_fails_is_exit_code_1(
    kubeflow_run: ModuleType, submission: Any, kfp_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a script can go by it."""
    kfp_api.looks = [_look("FAILED", _task("Trainer", "FAILED", "exit code 1"))]

    code = kubeflow_run.run(kfp_api.url, submission, tasks=["Trainer"], poll_s=0.01)

    assert code == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["Trainer FAILED: exit code 1", "Run run-1 FAILED"]


def test_a_run_that_kfp_no_longer_knows_is_an_error(kubeflow_run: ModuleType, kfp_api: Any) -> None:
    """It is not waited for."""
    with pytest.raises(kfp_server_api.ApiException, match="404"):
        kubeflow_run.follow(kubeflow_run.connect(kfp_api.url), "gone", tasks=[], tell=print, poll_s=0.01)


def test_a_host_without_a_scheme_is_refused(kubeflow_run: ModuleType) -> None:
    """The client would take it for https and look for a cluster."""
    with pytest.raises(ConnectionError, match=r"has to start with http:// or https://"):
        kubeflow_run.connect("localhost:8080")


@pytest.mark.parametrize(("status", "reason"), [(401, "Unauthorized"), (404, "Not Found")])
def test_a_host_that_answers_with_a_page_ends_the_command_at_once(
    kubeflow_run: ModuleType,
    submission: Any,
    kfp_api: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    status: int,
    reason: str,
) -> None:
    """A proxy that wants a login, or another server: exit code 2, a sentence, and neither the page nor its headers."""
    kfp_api.page = status

    code = kubeflow_run.run(kfp_api.url, submission, tasks=["Trainer"], poll_s=0.01)

    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith(f"{kfp_api.url} answered {status} {reason}, and not as KFP's API does.")
    assert len(said.splitlines()) == 1
    assert caplog.records == []


def test_ctrl_c_leaves_the_run_alone(
    kubeflow_run: ModuleType, submission: Any, kfp_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell's exit code for it, no traceback, and the person is told that the run goes on."""
    kfp_api.looks = [_look("RUNNING")]
    kfp_api.on_look = lambda: os.kill(os.getpid(), signal.SIGINT)
    try:
        code = kubeflow_run.run(kfp_api.url, submission, tasks=["Trainer"], poll_s=0.01)
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C ends in a traceback.")

    assert code == 130
    assert capsys.readouterr().err == "Run run-1 goes on without this command.\n"


def test_a_server_that_goes_away_leaves_the_run_alone(
    kubeflow_run: ModuleType, submission: Any, kfp_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the person is told that the run goes on."""
    kfp_api.vanishes = True

    code = kubeflow_run.run(kfp_api.url, submission, tasks=["Trainer"], poll_s=0.01)

    said = capsys.readouterr().err.splitlines()
    assert code == 2
    assert said[0].startswith(f"{kfp_api.url} can no longer be reached: ")
    assert said[1:] == ["Run run-1 goes on without this command."]
