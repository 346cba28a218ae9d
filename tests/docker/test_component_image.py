"""The component image, and the Kubeflow pipeline through kfp.local: each task in its own container, locked down."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from infraval import options

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
ANY_USER = 1_000_650_000
"""Of OpenShift's kind: in no passwd file, in group 0."""

LOCKED_DOWN = {
    "user": f"{ANY_USER}:0",
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108 - the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run of the pipeline.

    Attributes:
      output: what kfp.local has printed, with every task's log.
      tasks: a folder a task.
      pushed: versions at Pusher's destination that this run has added.
    """

    output: str
    tasks: Path
    pushed: list[Path]

    def properties(self, task: str, output: str) -> dict[str, Any]:
        """Properties of an artifact as the task has put them out."""
        written = json.loads((self.tasks / task / "executor_output.json").read_text())
        properties: dict[str, Any] = written["artifacts"][output]["artifacts"][0]["metadata"]
        return properties


StartPackage = Callable[..., subprocess.Popen[str]]
RunPackage = Callable[..., subprocess.CompletedProcess[str]]
RunPipeline = Callable[..., Run]


@pytest.fixture(scope="module")
def component_image(base_url: str) -> str:
    """The image, as built from this checkout."""
    script = Path(__file__).with_name("component_image.sh")
    subprocess.run([script], check=True, env=os.environ | {"DOCKER_HOST": base_url})
    return "infraval/component:latest"


@pytest.fixture(scope="module")
def pipeline_root() -> Iterator[Path]:
    """A folder of a user that is nobody here, as the tasks'."""
    root = Path(tempfile.mkdtemp(prefix="kfp-local-"))
    os.chown(root, ANY_USER, 0)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def start_package(component_image: str, pipeline_root: Path, base_url: str) -> StartPackage:
    """Compiles the pipeline and starts it, as `make kfp-local` does; takes flags to compile with and parameters."""

    def start(*flags: str, **parameters: str) -> subprocess.Popen[str]:
        package = pipeline_root / "digits.yaml"
        subprocess.run(
            [
                sys.executable,
                ROOT / "pipeline" / "run_kubeflow.py",
                f"--pipeline-root={pipeline_root}",
                f"--image={component_image}",
                f"--output={package}",
                *flags,
            ],
            check=True,
        )
        return subprocess.Popen(
            [
                ROOT / ".venv-kfp" / "bin" / "python",
                ROOT / "pipeline" / "run_kfp_local.py",
                package,
                f"--pipeline-root={pipeline_root}",
                f"--user={ANY_USER}:0",
                *(f"--parameter={name}={value}" for name, value in parameters.items()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"DOCKER_HOST": base_url},
        )

    return start


@pytest.fixture(scope="module")
def run_package(start_package: StartPackage) -> RunPackage:
    """The same, until it ends."""

    def run(*flags: str, **parameters: str) -> subprocess.CompletedProcess[str]:
        with start_package(*flags, **parameters) as process:
            output, _ = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    return run


@pytest.fixture(scope="module")
def run_pipeline(run_package: RunPackage, pipeline_root: Path) -> RunPipeline:
    """Runs the pipeline to its good end."""

    def run(**parameters: str) -> Run:
        before = set(pipeline_root.glob("digits-*")), set(pipeline_root.glob("serving_model/digits/*"))
        finished = run_package(**parameters)
        assert finished.returncode == 0, finished.stdout
        (tasks,) = set(pipeline_root.glob("digits-*")) - before[0]
        return Run(finished.stdout, tasks, sorted(set(pipeline_root.glob("serving_model/digits/*")) - before[1]))

    return run


@pytest.fixture(scope="module")
def blessed(run_pipeline: RunPipeline) -> Run:
    """A run with the parameters that are compiled in."""
    return run_pipeline()


def test_the_whole_pipeline_ends_with_a_pushed_warm_model(
    blessed: Run, engine: docker.DockerClient, component_image: str, digits_components: list[str]
) -> None:
    """Eight tasks, each in a container of its own with a user that is nobody; no container is left."""
    assert {path.name for path in blessed.tasks.iterdir()} == set(digits_components)
    blessing = blessed.properties("WarmupInfraValidator", "blessing")
    assert (blessing["blessed"], blessing["has_model"], blessing["verdict"]) == (1.0, 1.0, "BLESSED")
    assert blessed.properties("Pusher", "pushed_model")["pushed"] == 1.0
    (version,) = blessed.pushed
    assert (version / options.WARMUP_FILE).stat().st_uid == ANY_USER
    assert f"Pushed to {version}\nServe it: " in blessed.output
    assert engine.containers.list(all=True, filters={"ancestor": component_image}) == []


def test_the_page_and_the_figures_are_outputs_of_the_task(blessed: Run) -> None:
    """The page is the file at the artifact's URI, which KFP shows; the figures are those of the blessing."""
    task = blessed.tasks / "WarmupInfraValidator"
    assert (task / "report").read_bytes() == (task / "blessing" / "report.html").read_bytes()
    assert f"The page: {task / 'report'}" in blessed.output
    metrics = blessed.properties("WarmupInfraValidator", "metrics")
    blessing = blessed.properties("WarmupInfraValidator", "blessing")
    assert {"verdict", "blessed", "load_time_s", "requests_failed"} <= set(metrics)
    assert {name: blessing[name] for name in metrics} == metrics


def test_the_pushed_model_serves_warm(blessed: Run) -> None:
    """A server that boots it replays every record of its warmup file, and answers each signature."""
    (version,) = blessed.pushed
    finished = subprocess.run(
        [
            Path(sys.executable).with_name("infraval"),
            "validate",
            f"--model={version}",
            f"--examples={blessed.tasks}/ImportExampleGen/examples/Split-eval/*",
            "--signature=all",
            "--feature=serving_preprocess/raw_images=image",
            "--existing-warmup=keep",
            "--server=embedded",
            "--json",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    report = json.loads(finished.stdout)
    assert (finished.returncode, report["verdict"]) == (0, "BLESSED")
    records = blessed.properties("WarmupInfraValidator", "blessing")["warmup_records"]
    assert report["servers"][0]["records_replayed"] == report["warmup"]["records"] == records > 0
    assert {request["code"] for request in report["servers"][0]["requests"]} == {"OK"}


def test_a_model_that_is_not_blessed_is_not_pushed(run_pipeline: RunPipeline) -> None:
    """A signature that fails on what it gets: no task fails, the reason is on record, and Pusher pushes nothing."""
    # Nothing behind `=`: the whole record, and a serialized tf.Example is no image.
    given = options.RequestOptions(
        signatures=("serving_preprocess",), features=("serving_preprocess/raw_images=",), splits=("eval",)
    )

    run = run_pipeline(requests=given.to_json())

    blessing = run.properties("WarmupInfraValidator", "blessing")
    assert (blessing["blessed"], blessing["verdict"]) == (0.0, "NOT_BLESSED")
    assert "serving_preprocess" in blessing["reasons"]
    assert f"Not blessed (responses): {blessing['reasons']}" in run.output
    results = run.tasks / "WarmupInfraValidator" / "blessing"
    assert {path.name for path in results.iterdir()} == {"INFRA_NOT_BLESSED", "report.html", "report.json", "report.md"}
    assert run.properties("Pusher", "pushed_model")["pushed"] == 0.0
    assert run.pushed == []
    assert "Pushed nothing" in run.output


def test_a_failed_task_fails_the_run(
    run_package: RunPackage, engine: docker.DockerClient, component_image: str
) -> None:
    """Without data the first task fails; the run says which one did, and leaves no container."""
    finished = run_package("--data=/nowhere")
    assert finished.returncode == 1, finished.stdout
    assert "ImportExampleGen" in finished.stdout.splitlines()[-1]
    assert engine.containers.list(all=True, filters={"ancestor": component_image}) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_container(
    start_package: StartPackage,
    engine: docker.DockerClient,
    component_image: str,
    eventually: Callable[..., None],
    number: signal.Signals,
) -> None:
    """Ctrl-C in a task: kfp.local would let the task go on, with nobody to wait for it."""

    def running() -> list[Any]:
        found: list[Any] = engine.containers.list(filters={"ancestor": component_image}, ignore_removed=True)
        return found

    with start_package() as process:
        eventually(running, lambda: "no task was started")
        process.send_signal(number)
        output, _ = process.communicate()

    assert process.returncode == 1
    assert output.splitlines()[-1] == "Stopped; the task that ran is ended and its container removed."
    eventually(
        lambda: not engine.containers.list(all=True, filters={"ancestor": component_image}, ignore_removed=True),
        lambda: "the task goes on",
    )


def test_the_image_is_for_a_user_that_is_not_root(component_image: str, engine: docker.DockerClient) -> None:
    """By number: the kubelet cannot tell of a name whether it is root's (runAsNonRoot)."""
    assert engine.images.get(component_image).attrs["Config"]["User"] == "1000:1000"


def test_a_validation_in_a_locked_down_container(
    component_image: str, start_container: Callable[..., Any], taxi_model: Path, taxi_examples: Path
) -> None:
    """Any uid, a read-only root, no capability, no new privileges, no network: the command line judges all the same."""
    container = start_container(
        "infraval",
        "validate",
        "--model=/model",
        "--examples=/examples/Split-eval/*-00000-*",
        "--signature=all",
        "--json",
        image=component_image,
        volumes={
            str(taxi_model): {"bind": "/model", "mode": "ro"},
            str(taxi_examples): {"bind": "/examples", "mode": "ro"},
        },
        **LOCKED_DOWN,
    )
    exit_code = container.wait()["StatusCode"]
    log = container.logs(stdout=True, stderr=True).decode()
    assert exit_code == 0, log
    report = json.loads(container.logs(stdout=True, stderr=False))
    assert report["verdict"] == "BLESSED"
    assert report["servers"][0]["records_replayed"] == report["warmup"]["records"] > 0


ENTRY_POINT = ["python3", "-m", "infraval.tfx.kubeflow_entry_point"]


def test_a_task_that_is_process_1_ends_by_sigterm(
    component_image: str, engine: docker.DockerClient, eventually: Callable[..., None]
) -> None:
    """The kernel drops signals to process 1 that it does not handle: a pod would be killed after its grace period."""
    # In place of TFX, long before an executor handles signals.
    wait = "import signal, sys; sys.argv[1:] = []; from infraval.tfx import kubeflow_entry_point as entry"
    wait += "; entry.runpy.run_module = lambda *_, **__: (print('running', flush=True), signal.pause()); entry.main()"
    container = engine.containers.run(component_image, ["python3", "-c", wait], detach=True, **LOCKED_DOWN)
    try:
        eventually(lambda: b"running" in container.logs(), container.logs)
        container.kill("SIGTERM")
        assert container.wait(timeout=60)["StatusCode"] == 128 + signal.SIGTERM
    finally:
        container.remove(force=True)


def test_a_task_without_a_place_for_temporary_files_says_so(component_image: str, engine: docker.DockerClient) -> None:
    """A read-only root without a volume; found before TensorFlow's import, which fails there with a traceback."""
    locked_down = {name: value for name, value in LOCKED_DOWN.items() if name != "tmpfs"}
    container = engine.containers.run(component_image, ENTRY_POINT, detach=True, **locked_down)
    try:
        assert container.wait(timeout=60)["StatusCode"] == 1
        output = container.logs().decode()
    finally:
        container.remove(force=True)
    assert "Traceback" not in output
    assert "emptyDir" in output
