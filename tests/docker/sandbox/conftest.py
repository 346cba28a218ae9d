"""Sandboxes on the tests' engine, images whose server misbehaves, and proof that nothing was left."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import docker
import pytest

from infraval import options, workspace
from infraval.sandbox import base
from infraval.sandbox.docker import owner as docker_owner
from infraval.sandbox.docker import sandbox as docker_sandbox
from infraval.trial import client

HERE = Path(__file__).parent

MakeSandbox = Callable[..., docker_sandbox.DockerSandbox]

FAULTY = "infraval-test/faulty-server:1"

DOCKERFILE = b"""FROM infraval/model-server:latest
COPY fakes.py tensorflow_model_server entrypoint.sh /faulty/
ENV PATH=/faulty:/usr/local/bin:/usr/bin:/bin BEHAVIOUR=serve
LABEL org.tfx-infraval.server=
USER root
RUN mkdir --mode=1777 /declared
USER 1000:1000
VOLUME /declared
HEALTHCHECK --interval=1s CMD true
ENTRYPOINT ["/faulty/entrypoint.sh"]
"""

SERVER = b"""#!/bin/sh
exec python3 /faulty/fakes.py "$BEHAVIOUR" /tmp/boots "$@"
"""

# As the official image's: the shell stays process 1, and hands on no signal.
ENTRYPOINT = b"""#!/bin/bash
tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=${MODEL_NAME} \\
  --model_base_path=${MODEL_BASE_PATH}/${MODEL_NAME} "$@"
exit $?
"""


def build(engine: docker.DockerClient, name: str, files: dict[str, bytes]) -> str:
    """Builds an image of the files, one of which is the Dockerfile; all are executable."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    return name


def faulty_files() -> dict[str, bytes]:
    """The image whose server behaves as BEHAVIOUR says, see tests/fakes.py."""
    fakes = (HERE.parents[1] / "fakes.py").read_bytes()
    return {
        "Dockerfile": DOCKERFILE,
        "fakes.py": fakes,
        "tensorflow_model_server": SERVER,
        "entrypoint.sh": ENTRYPOINT,
    }


@pytest.fixture(scope="session")
def build_faulty_image() -> Callable[[docker.DockerClient], str]:
    """Builds, on an engine, an image whose server misbehaves as the variable BEHAVIOUR says."""
    return lambda engine: build(engine, FAULTY, faulty_files())


@pytest.fixture(scope="session")
def faulty_image(engine: docker.DockerClient, image: str) -> str:
    """The image whose server misbehaves, on the tests' engine."""
    assert image
    return build(engine, FAULTY, faulty_files())


@pytest.fixture(scope="session")
def second_engine_url(second_engine: docker.DockerClient) -> str:
    """The address of the engine that does not see this machine's temp folder."""
    second_engine.ping()
    script = HERE.parent / "engine.sh"
    directory = HERE.parents[2] / "build" / "second-engine"
    return subprocess.run([script, "url", directory], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture
def build_image() -> Callable[[docker.DockerClient, str, dict[str, bytes]], str]:
    """Builds an image of files, one of which is the Dockerfile."""
    return build


@pytest.fixture
def restart_second_engine(second_engine: docker.DockerClient, second_engine_url: str) -> Callable[[], None]:
    """Ends the second engine as its service manager would, and starts it again."""
    script, directory = HERE.parent / "engine.sh", HERE.parents[2] / "build" / "second-engine"

    def restart() -> None:
        second_engine.ping()
        pid = int(Path(second_engine_url.removeprefix("unix://")).with_name("dockerd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.02)
        subprocess.run([script, "start", "--hide", tempfile.gettempdir(), directory], check=True)

    return restart


@pytest.fixture
def leftovers(engine: docker.DockerClient) -> Callable[..., list[str]]:
    """Names of the containers and volumes on an engine that sandboxes made."""

    def find(client: docker.DockerClient = engine) -> list[str]:
        filters = {"label": docker_owner.OWNER}
        containers = client.api.containers(all=True, filters=filters)
        volumes = client.api.volumes(filters=filters)["Volumes"] or []
        return [each["Names"][0] for each in containers] + [each["Name"] for each in volumes]

    return find


@pytest.fixture(autouse=True)
def _nothing_is_left(leftovers: Callable[..., list[str]]) -> Iterator[None]:
    yield
    assert leftovers() == []


@pytest.fixture
def private_directory() -> Iterator[Path]:
    """A directory with a path short enough for a socket, unlike `tmp_path`."""
    with workspace.workspace(Path(tempfile.gettempdir())) as directory:
        yield directory


@pytest.fixture
def models(private_directory: Path) -> Path:
    """A model base path; its one version holds a file that only this user may read."""
    version = private_directory / "models" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"content")
    (version / "saved_model.pb").chmod(0o600)
    return version.parent


@pytest.fixture
def make_sandbox(base_url: str, faulty_image: str, models: Path, private_directory: Path) -> MakeSandbox:
    """Makes a sandbox whose server behaves as the name says; further arguments are DockerServer's."""

    def make(
        behaviour: str = "serve",
        *,
        image: str = faulty_image,
        name: str = "r",
        launch: base.Launch | None = None,
        environment: tuple[str, ...] = (),
        **docker_options: object,
    ) -> docker_sandbox.DockerSandbox:
        server = options.DockerServer(
            **{
                "base_url": base_url,
                "environment": (f"BEHAVIOUR={behaviour}", *environment),
                **docker_options,
            }
        )
        launch = launch or base.Launch(model_name="m", model_base_path=models)
        return docker_sandbox.DockerSandbox(launch, server, image, private_directory / name)

    return make


@pytest.fixture
def boot() -> Callable[..., base.ServerExit | None]:
    """Waits until a sandbox's server serves, or how it ended instead; TimeoutError if it does neither."""

    def wait(sandbox: base.Sandbox, within_s: float = 90.0) -> base.ServerExit | None:
        with client.Client(sandbox.target, "m") as connection:
            return base.wait_until(connection.available, sandbox, time.monotonic() + within_s)

    return wait


@pytest.fixture
def container_of(engine: docker.DockerClient) -> Callable[..., docker.models.containers.Container]:
    """The one container that sandboxes of this process have on an engine."""

    def find(client: docker.DockerClient = engine) -> docker.models.containers.Container:
        mine = f"{docker_owner.PID}={os.getpid()}"
        [container] = client.containers.list(filters={"label": mine})
        return container

    return find


@pytest.fixture
def take_ports_after() -> Iterator[Callable[[int], None]]:
    """Listens on the loopback address at the ports that follow one."""
    with contextlib.ExitStack() as listening:

        def take(port: int) -> None:
            for number in range(port + 1, port + 4):
                listening.enter_context(socket.create_server(("127.0.0.1", number)))

        yield take


@pytest.fixture
def start_client(
    base_url: str, faulty_image: str, models: Path, private_directory: Path
) -> Callable[..., contextlib.AbstractContextManager[subprocess.Popen[str]]]:
    """Starts sandbox_client.py up to a phase, with a server that behaves as named; others are DockerServer's."""

    @contextlib.contextmanager
    def start(
        phase: str,
        behaviour: str = "serve",
        *,
        image: str = faulty_image,
        within: Sequence[str] = (),
        temporary: Path = private_directory,
        **given: object,
    ) -> Iterator[subprocess.Popen[str]]:
        server = options.DockerServer(**{"base_url": base_url, "environment": (f"BEHAVIOUR={behaviour}",), **given})
        script = [sys.executable, str(HERE / "sandbox_client.py")]
        with subprocess.Popen(
            [*within, *script, str(models), image, server.to_json(), phase],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        ) as client:
            try:
                yield client
            finally:
                client.kill()

    return start


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """`host:port` of a registry that stalls."""
    command = [sys.executable, str(HERE.parents[1] / "fakes.py"), "silent-registry"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as registry:
        assert registry.stdout is not None
        yield f"127.0.0.1:{registry.stdout.readline().strip()}"
        registry.kill()


@pytest.fixture(scope="session")
def docker_registry() -> str:
    """The registry server of Debian's package docker-registry, installed if need be."""
    if shutil.which("docker-registry") is None:
        subprocess.run(["/usr/bin/apt-get", "update", "-qq"], check=True)
        # At that runlevel its service is not started.
        install = ["/usr/bin/apt-get", "install", "-y", "-qq", "--no-install-recommends", "docker-registry"]
        environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)
    found = shutil.which("docker-registry")
    assert found is not None
    return found


@pytest.fixture
def start_registry(docker_registry: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a registry that is empty, and one that asks for a password if it is given htpasswd's lines."""
    running = []

    def start(htpasswd: str = "") -> str:
        folder = tmp_path / f"registry{len(running)}"
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        configuration: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": address, "secret": "of no use outside"},
        }
        if htpasswd:
            (folder / "htpasswd").write_text(htpasswd)
            configuration["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(configuration))  # which is YAML too
        command = [docker_registry, "serve", str(folder / "config.yml")]
        with (folder / "log").open("wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        host, _, port = address.partition(":")
        deadline_s = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                assert running[-1].poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            else:
                return address

    yield start
    for registry in running:
        registry.kill()
        registry.wait()


def _hand_on(base_url: str, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, str(HERE / "tcp_to_unix.py"), base_url.removeprefix("unix://"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as proxy:
        assert proxy.stdout is not None
        yield f"tcp://127.0.0.1:{proxy.stdout.readline().strip()}", proxy
        proxy.kill()


@pytest.fixture
def tcp_engine(base_url: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`tcp://` address of the tests' engine, and the process that hands on, see tcp_to_unix.py."""
    yield from _hand_on(base_url)


@pytest.fixture
def tls_engine(base_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """`tcp://` address of the tests' engine behind TLS, and a folder with ca.pem, cert.pem and key.pem for it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    new = "req -newkey rsa:2048 -nodes -addext subjectAltName=IP:127.0.0.1 -subj"
    sign = "x509 -req -CA ca.pem -CAkey ca-key.pem -CAcreateserial -copy_extensions copy -days 2"
    for command in (
        f"{new} /CN=ca -x509 -days 2 -keyout ca-key.pem -out ca.pem",
        f"{new} /CN=127.0.0.1 -keyout key.pem -out csr.pem",
        f"{sign} -in csr.pem -out cert.pem",
    ):
        subprocess.run(["/usr/bin/openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    for address, _ in _hand_on(base_url, str(folder)):
        yield address, folder
