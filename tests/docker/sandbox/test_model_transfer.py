"""How the model gets into the container, and how the server is reached: by what engine and client share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from infraval import errors, options
from infraval.sandbox import base
from infraval.sandbox.docker import container as docker_container
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import listening as docker_listening
from infraval.sandbox.docker import owner as docker_owner
from infraval.sandbox.docker import sandbox as docker_sandbox

pytestmark = pytest.mark.docker

Boot = Callable[..., "base.ServerExit | None"]
ContainerOf = Callable[..., Container]
MakeSandbox = Callable[..., docker_sandbox.DockerSandbox]

StartClient = Callable[..., contextlib.AbstractContextManager["subprocess.Popen[str]"]]

READ_MODEL = ["cat", "/model/m/1/saved_model.pb"]
WRITE_MODEL = ["sh", "-c", "echo x >> /model/m/1/saved_model.pb"]


@pytest.fixture
def second_faulty_image(second_engine: docker.DockerClient, build_faulty_image: Callable[..., str]) -> str:
    """The image whose server misbehaves, on the second engine."""
    return build_faulty_image(second_engine)


@pytest.fixture
def readable(models: Path) -> Path:
    """The model's file, which anyone may read now."""
    path = models / "1" / "saved_model.pb"
    path.chmod(0o644)
    return path


@pytest.mark.usefixtures("readable")
def test_a_model_that_the_container_may_read_is_mounted(make_sandbox: MakeSandbox, container_of: ContainerOf) -> None:
    """On an engine of this machine no byte of the model is copied, and the container cannot write it."""
    with make_sandbox("hang-at-load"):
        container = container_of()
        assert {mount["Type"] for mount in container.attrs["Mounts"]} == {"bind"}
        assert container.exec_run(READ_MODEL).output == b"content"
        assert container.exec_run(WRITE_MODEL).exit_code != 0


def test_a_model_that_the_container_may_not_read_is_copied_and_the_socket_stays(
    make_sandbox: MakeSandbox, container_of: ContainerOf
) -> None:
    """A file with mode 0600 of another user than the container's would fail the load; its copy does not."""
    assert os.geteuid() == 0, "as another user, the container's user is the file's owner"
    with make_sandbox("hang-at-load") as sandbox:
        container = container_of()
        assert {mount["Type"] for mount in container.attrs["Mounts"]} == {"bind", "volume"}
        assert container.attrs["HostConfig"]["NetworkMode"] == "none"
        assert sandbox.target.startswith("unix:")
        assert container.exec_run(READ_MODEL).output == b"content"
        assert container.exec_run(WRITE_MODEL).exit_code != 0


@pytest.mark.usefixtures("readable")
def test_a_copy_can_be_forced(make_sandbox: MakeSandbox, container_of: ContainerOf) -> None:
    """With model_transfer=copy the model is copied although it could be mounted."""
    with make_sandbox("hang-at-load", model_transfer=options.ModelTransfer.COPY):
        container = container_of()
        assert {mount["Type"] for mount in container.attrs["Mounts"]} == {"bind", "volume"}
        assert container.exec_run(READ_MODEL).output == b"content"


@pytest.mark.usefixtures("readable")
def test_an_engine_that_does_not_see_the_model_gets_a_copy(
    make_sandbox: MakeSandbox,
    boot: Boot,
    container_of: ContainerOf,
    second_engine: docker.DockerClient,
    second_engine_url: str,
    second_faulty_image: str,
    leftovers: Callable[..., list[str]],
) -> None:
    """It is found out without being told; the server is reached by a port on the loopback address, and serves."""
    with make_sandbox("serve", image=second_faulty_image, base_url=second_engine_url) as sandbox:
        container = container_of(second_engine)
        [published] = [ports for ports in container.ports.values() if ports]
        assert published == [{"HostIp": "127.0.0.1", "HostPort": sandbox.target.rpartition(":")[2]}]
        assert listening_addresses(int(published[0]["HostPort"])) == {"0100007F"}
        assert [mount["Type"] for mount in container.attrs["Mounts"]] == ["volume"]
        assert container.exec_run(READ_MODEL).output == b"content"
        assert container.exec_run(WRITE_MODEL).exit_code != 0
        assert boot(sandbox) is None
    assert leftovers(second_engine) == []


@pytest.mark.usefixtures("readable")
def test_a_mount_cannot_be_forced_on_an_engine_that_does_not_see_the_model(
    make_sandbox: MakeSandbox,
    second_engine: docker.DockerClient,
    second_engine_url: str,
    second_faulty_image: str,
    leftovers: Callable[..., list[str]],
) -> None:
    """That is an error of the option, with what to use instead."""
    mount = options.ModelTransfer.MOUNT
    with (
        pytest.raises(errors.OptionError, match=r"cannot see this machine's files: .* Use auto or copy"),
        make_sandbox("serve", image=second_faulty_image, base_url=second_engine_url, model_transfer=mount),
    ):
        pass
    assert leftovers(second_engine) == []


def test_a_mount_cannot_be_forced_on_a_user_who_may_not_read_the_model(make_sandbox: MakeSandbox) -> None:
    """The server would refuse the model, and the model would be blamed."""
    with (
        pytest.raises(errors.OptionError, match=r"container's user 1234:2345 may not read every file of the model"),
        make_sandbox(user="1234:2345", model_transfer=options.ModelTransfer.MOUNT),
    ):
        pass


def test_a_port_that_is_taken_leads_to_another(
    make_sandbox: MakeSandbox,
    boot: Boot,
    second_engine_url: str,
    second_faulty_image: str,
    take_ports_after: Callable[[int], None],
) -> None:
    """Other programs have the ports that the engine would publish next; it publishes one that is free."""
    arguments = {"image": second_faulty_image, "base_url": second_engine_url}
    with make_sandbox("hang-at-load", **arguments) as sandbox:
        take_ports_after(int(sandbox.target.rpartition(":")[2]))
        with make_sandbox("serve", name="r2", **arguments) as second:
            assert boot(second) is None


def test_a_published_port_out_of_reach_is_no_late_model(
    second_engine: docker.DockerClient,
    second_engine_url: str,
    second_faulty_image: str,
    start_client: StartClient,
    leftovers: Callable[..., list[str]],
) -> None:
    """A client in another network namespace, as in a container, is told that it cannot reach the server."""
    with start_client(
        "replay", image=second_faulty_image, base_url=second_engine_url, within=["unshare", "--net"]
    ) as client:
        output, _ = client.communicate(timeout=120)
    assert client.returncode == 2
    assert re.search(r"\nSandboxError: The model server is running, but does not answer at 127.0.0.1:\d+, ", output)
    assert leftovers(second_engine) == []


def test_a_published_port_out_of_reach_is_not_told_by_the_log_alone(
    make_sandbox: MakeSandbox,
    boot: Boot,
    second_engine_url: str,
    second_faulty_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that prints that it listens, and hangs, is late; nothing listens in its container."""
    monkeypatch.setattr(docker_listening, "connects", lambda _: False)
    arguments = {"image": second_faulty_image, "base_url": second_engine_url}
    with make_sandbox("claim-and-hang", **arguments) as sandbox, pytest.raises(TimeoutError):
        boot(sandbox, within_s=6)
    assert "Running gRPC ModelServer at 0.0.0.0:8500" in sandbox.log()
    with (
        make_sandbox("serve", name="r2", **arguments) as sandbox,
        pytest.raises(errors.SandboxError, match="does not answer"),
    ):
        base.wait_until(lambda: False, sandbox, time.monotonic() + 90)


@pytest.fixture
def as_another_user(base_url: str) -> Iterator[tuple[list[str], Path]]:
    """What makes a command run as a user without rights but to use the engine, and a temp folder of that user's."""
    socket = Path(base_url.removeprefix("unix://"))
    # This user's Python may be in a folder that nobody else can enter, so it may read all; not write or connect.
    capability = "+dac_read_search"
    command = ["setpriv", "--reuid=12345", "--regid=23456", f"--groups={socket.stat().st_gid}"]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="it-") as folder:  # a short path
        os.chown(folder, 12345, 23456)
        yield [*command, f"--inh-caps={capability}", f"--ambient-caps={capability}"], Path(folder)


@pytest.mark.usefixtures("readable")
def test_a_user_without_rights_shares_the_socket(
    start_client: StartClient, as_another_user: tuple[list[str], Path], engine: docker.DockerClient
) -> None:
    """The server runs as that user, and is reached by the socket that it makes."""
    within, folder = as_another_user
    with start_client("replay", "hang-in-request", within=within, temporary=folder) as client:
        assert client.stdout is not None
        assert any(line == "replay None\n" for line in client.stdout)
        [container] = engine.containers.list(filters={"label": f"{docker_owner.PID}={client.pid}"})
        assert container.attrs["Config"]["User"] == "12345:23456"
        assert container.attrs["HostConfig"]["NetworkMode"] == "none"
        client.terminate()
        client.communicate(timeout=120)
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("readable")
def test_a_user_without_rights_cannot_share_a_socket_with_another(
    start_client: StartClient, as_another_user: tuple[list[str], Path], engine: docker.DockerClient
) -> None:
    """With another server.user the port is published, and the model that this one may read is mounted."""
    within, folder = as_another_user
    with start_client("replay", "hang-in-request", within=within, temporary=folder, user="7:7") as client:
        assert client.stdout is not None
        assert any(line == "replay None\n" for line in client.stdout)
        [container] = engine.containers.list(filters={"label": f"{docker_owner.PID}={client.pid}"})
        assert container.attrs["Config"]["User"] == "7:7"
        assert [mount["Type"] for mount in container.attrs["Mounts"]] == ["bind"]
        [published] = [ports for ports in container.ports.values() if ports]
        assert [port["HostIp"] for port in published] == ["127.0.0.1"]
        client.terminate()
        client.communicate(timeout=120)


@pytest.mark.usefixtures("readable", "nothing_left")
def test_an_engine_with_selinux_gets_mounts_that_it_may_relabel(
    base_url: str, faulty_image: str, private_directory: Path, engine: docker.DockerClient, readable: Path
) -> None:
    """Only what is bound in the older way is relabelled; a path that the engine does not see is still noticed."""
    name = "infraval-test-selinux"
    with docker_engine.connect(options.DockerServer(base_url=base_url)) as connected:
        selinux = dataclasses.replace(connected, info={**connected.info, "SecurityOptions": ["name=selinux"]})
        host = docker_container.host_config(selinux, options.DockerServer(), on_socket=True)
        arguments = {"image": faulty_image, "name": name}
        absent = private_directory / "absent"
        with pytest.raises(docker_container.UnseenPathError):
            docker_container.create(selinux, arguments, host, [docker_container.bind(absent, "/absent")])
        assert not absent.exists()
        docker_container.create(selinux, arguments, host, [docker_container.bind(readable, "/model/m/1/file")])
        container = engine.containers.get(name)
        try:
            assert container.attrs["HostConfig"]["Binds"] == [f"{readable}:/model/m/1/file:ro,z"]
        finally:
            container.remove(v=True)


def listening_addresses(port: int) -> set[str]:
    """Local addresses, as in /proc/net/tcp, on which a port of this machine is listened to."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, _, number = line.split()[1].partition(":")
            if line.split()[3] == "0A" and int(number, 16) == port:
                found.add(address)
    return found
