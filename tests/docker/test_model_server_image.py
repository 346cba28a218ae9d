"""infraval/model-server keeps the contract of the official tensorflow/serving image."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from infraval.trial import client

GOLDEN = Path(__file__).parents[1] / "golden"

GRPC_PORT = "8500/tcp"
REST_PORT = "8501/tcp"

pytestmark = pytest.mark.docker

StartContainer = Callable[..., Container]
Eventually = Callable[..., None]
Log = Callable[[Container], str]
WaitUntilAvailable = Callable[..., None]


def read_only(source: Path, target: str) -> docker.types.Mount:
    """A read-only bind mount."""
    return docker.types.Mount(target, str(source), type="bind", read_only=True)


@pytest.fixture
def base_path(sink_model: Path) -> Path:
    """The model base path of the sink, version 1."""
    return sink_model.parent


@pytest.fixture
def log() -> Log:
    """What a container's process wrote so far."""

    def read(container: Container) -> str:
        text: bytes = container.logs()
        return text.decode(errors="replace")

    return read


@pytest.fixture
def wait_until_available(eventually: Eventually, log: Log) -> WaitUntilAvailable:
    """Waits until the model is AVAILABLE at a gRPC target; fails at once if the container has ended."""

    def wait(container: Container, target: str, model_name: str = "model") -> None:
        def available_or_ended() -> bool:
            container.reload()
            return container.status != "running" or connection.available()

        with client.Client(target, model_name) as connection:
            eventually(available_or_ended, lambda: log(container))
        assert container.status == "running", log(container)

    return wait


@pytest.fixture
def published() -> Callable[..., str]:
    """Address on this machine of a port of a container's, which was published on 127.0.0.1."""

    def find(container: Container, port: str = GRPC_PORT) -> str:
        container.reload()
        (binding,) = container.ports[port]
        return f"{binding['HostIp']}:{binding['HostPort']}"

    return find


def test_the_image_is_labelled_and_runs_as_nobody_special(engine: docker.DockerClient, image: str) -> None:
    """Ports, variables and a user that is not root are in the image's configuration, and a label says what it is."""
    config = engine.images.get(image).attrs["Config"]

    assert set(config["ExposedPorts"]) == {GRPC_PORT, REST_PORT}
    assert {"MODEL_NAME=model", "MODEL_BASE_PATH=/models"} <= set(config["Env"])
    assert int(config["User"].partition(":")[0]) > 0
    assert config["Labels"]["org.tfx-infraval.server"] == "embedded"


def test_the_server_tells_its_version_where_tensorflow_has_another_name(start_container: StartContainer) -> None:
    """The image has tensorflow-cpu and no tensorflow, and infraval without the metadata of an installation."""
    container = start_container("-m", "infraval_server", "--version", entrypoint="python3")

    assert container.wait(timeout=60)["StatusCode"] == 0
    assert re.fullmatch(rb"infraval embedded server: \S+\nTensorFlow Library: 2\.\S+\n", container.logs(stderr=False))


def test_a_model_is_served_from_the_default_place(
    start_container: StartContainer,
    base_path: Path,
    published: Callable[..., str],
    wait_until_available: WaitUntilAvailable,
) -> None:
    """A model mounted at /models/model answers on the published port 8500, with no variable set."""
    container = start_container(mounts=[read_only(base_path, "/models/model")], ports={GRPC_PORT: ("127.0.0.1", None)})

    wait_until_available(container, published(container))


def test_the_variables_say_name_and_place(
    start_container: StartContainer,
    base_path: Path,
    published: Callable[..., str],
    wait_until_available: WaitUntilAvailable,
) -> None:
    """MODEL_NAME and MODEL_BASE_PATH are where the model is looked for, and the name it is served under."""
    container = start_container(
        mounts=[read_only(base_path, "/srv/kitchen/sink")],
        ports={GRPC_PORT: ("127.0.0.1", None)},
        environment={"MODEL_NAME": "sink", "MODEL_BASE_PATH": "/srv/kitchen"},
    )

    wait_until_available(container, published(container), "sink")


def test_arguments_go_to_the_server_and_win(
    start_container: StartContainer,
    base_path: Path,
    published: Callable[..., str],
    wait_until_available: WaitUntilAvailable,
) -> None:
    """What follows the image's name replaces the entrypoint's own flags, as with the official image."""
    container = start_container(
        "--port=9000",
        "--model_name=other",
        "--model_base_path=/elsewhere",
        mounts=[read_only(base_path, "/elsewhere")],
        ports={"9000/tcp": ("127.0.0.1", None)},
    )

    wait_until_available(container, published(container, "9000/tcp"), "other")


def test_rest_answers_on_its_port(
    start_container: StartContainer,
    base_path: Path,
    published: Callable[..., str],
    eventually: Eventually,
    log: Log,
) -> None:
    """GET /v1/models/NAME on the published port 8501 says that version 1 is AVAILABLE."""
    container = start_container(mounts=[read_only(base_path, "/models/model")], ports={REST_PORT: ("127.0.0.1", None)})
    eventually(lambda: "Exporting HTTP/REST API" in log(container), lambda: log(container))

    url = f"http://{published(container, REST_PORT)}/v1/models/model"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as response:
        (status,) = json.load(response)["model_version_status"]
    assert status["version"] == "1"
    assert status["state"] == "AVAILABLE"


def test_any_user_can_run_it_with_nothing_allowed(
    start_container: StartContainer, base_path: Path, tmp_path: Path, wait_until_available: WaitUntilAvailable
) -> None:
    """An unknown user id, a read-only root, no capability and no network: it serves on a socket in a mounted folder.

    There is no tmpfs on /tmp either, which TensorFlow Serving does not need.
    """
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    shutil.chown(sockets, 54321, 54321)
    container = start_container(
        "--port=0",
        "--grpc_socket_path=/sockets/s",
        mounts=[
            read_only(base_path, "/models/model"),
            docker.types.Mount("/sockets", str(sockets), type="bind"),
        ],
        user="54321:54321",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
    )

    wait_until_available(container, f"unix:{sockets / 's'}")


def test_warmup_records_are_replayed(
    start_container: StartContainer, sink_model: Path, tmp_path: Path, log: Log, eventually: Eventually
) -> None:
    """A warmup file that a real TF Serving has accepted is read and replayed before the model is AVAILABLE."""
    cases = {case["case"]: case for case in json.loads((GOLDEN / "warmup.json").read_text())["cases"]}
    warm = tmp_path / "model"
    shutil.copytree(sink_model, warm / "1")
    (warm / "1" / "assets.extra").mkdir()
    (warm / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(base64.b64decode(cases["five"]["file"]))

    container = start_container(mounts=[read_only(warm, "/models/model")])

    eventually(lambda: "Running gRPC ModelServer" in log(container), lambda: log(container))
    assert "Number of warmup records read: 5." in log(container)


@pytest.mark.parametrize("moment", ["starting", "serving"])
def test_sigterm_ends_process_1_by_itself(
    moment: str, start_container: StartContainer, base_path: Path, log: Log, eventually: Eventually
) -> None:
    """SIGTERM is not lost on process 1, even while Python starts: it exits with 0, and no SIGKILL (137) is needed."""
    container = start_container(mounts=[read_only(base_path, "/models/model")])
    if moment == "starting":
        # The shell of the entrypoint has become Python; nothing is logged yet, or the server would be further.
        eventually(lambda: any("infraval_server" in row[-1] for row in container.top()["Processes"]), container.top)
    else:
        eventually(lambda: "Running gRPC ModelServer" in log(container), lambda: log(container))

    container.stop(timeout=60)

    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0, log(container)
    assert "Ended by SIGTERM." in log(container)


def test_a_model_that_does_not_load_ends_it(start_container: StartContainer, tmp_path: Path, log: Log) -> None:
    """The exit code is the server's own, 255, and the log says why."""
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"no SavedModel")

    container = start_container("--max_num_load_retries=0", mounts=[read_only(tmp_path / "model", "/models/model")])

    assert container.wait(timeout=60)["StatusCode"] == 255
    assert "Failed to start server. Error:" in log(container)


def test_the_version_is_in_tf_servings_form_and_honest(start_container: StartContainer, log: Log) -> None:
    """`tensorflow_model_server --version` is two lines that parse as TensorFlow Serving's, and name infraval."""
    container = start_container("--version", entrypoint="tensorflow_model_server")

    assert container.wait(timeout=60)["StatusCode"] == 0
    server, library = log(container).splitlines()
    assert re.fullmatch(r"TensorFlow ModelServer: \d+\.\d+\.\d+\+infraval\.embedded\.\S+", server)
    assert re.fullmatch(r"TensorFlow Library: \d+\.\d+\.\d+", library)


def test_it_listens_beyond_its_own_loopback_address(
    start_container: StartContainer, base_path: Path, wait_until_available: WaitUntilAvailable
) -> None:
    """As the official image: who shares its network reaches it at its address, on port 8500."""
    container = start_container(mounts=[read_only(base_path, "/models/model")])
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    wait_until_available(container, f"{address}:8500")


def test_an_engine_that_sees_other_paths_can_serve(
    second_engine: docker.DockerClient,
    image: str,
    base_path: Path,
    published: Callable[..., str],
    wait_until_available: WaitUntilAvailable,
) -> None:
    """A model that is copied in through the API answers on a port of 127.0.0.1, in an engine with another /tmp."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(base_path, arcname="model")
    container = second_engine.containers.create(image, ports={GRPC_PORT: ("127.0.0.1", None)})
    try:
        assert container.put_archive("/models", archive.getvalue())
        container.start()
        wait_until_available(container, published(container))
    finally:
        container.remove(force=True)
