"""What a container with an untrusted model in it may do, seen from inside and from outside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from infraval.sandbox import base
from infraval.sandbox.docker import sandbox as docker_sandbox

pytestmark = pytest.mark.docker

TEMP = "/tmp"  # noqa: S108 - the container's
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the container's, as Docker mounts it

INSIDE = (Path(__file__).parent / "inside.py").read_text()

MEMORY_BYTES = 1_500_000_000
MEMORY_LIMIT = MEMORY_BYTES // os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PAGE_SIZE")

Boot = Callable[..., "base.ServerExit | None"]
ContainerOf = Callable[..., Container]
MakeSandbox = Callable[..., docker_sandbox.DockerSandbox]
Inspect = Callable[[Container], dict[str, Any]]


@pytest.fixture
def running(
    make_sandbox: MakeSandbox, boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> Iterator[docker_sandbox.DockerSandbox]:
    """A sandbox whose server serves."""
    monkeypatch.setenv("FROM_HERE", "the value here")
    monkeypatch.setenv("TF_CPP_MAX_VLOG_LEVEL", "3")
    environment = ("GIVEN=a=b", "FROM_HERE", "NOT_SET_HERE")
    with make_sandbox(memory_bytes=MEMORY_BYTES, cpus=1.5, pids=600, environment=environment) as sandbox:
        assert boot(sandbox) is None
        yield sandbox


@pytest.fixture
def inside() -> Inspect:
    """What a process in a container sees."""

    def look(container: Container) -> dict[str, Any]:
        code, output = container.exec_run(["python3", "-c", INSIDE])
        assert code == 0, output
        return dict(json.loads(output))

    return look


@pytest.mark.usefixtures("running")
def test_inside_there_is_nothing_to_take(container_of: ContainerOf, inside: Inspect) -> None:
    """No network, no privileges, no root, nothing to write but scratch space, and the limits that were asked for."""
    seen = inside(container_of())

    assert seen["interfaces"] == ["lo"]
    assert not seen["may_connect"]
    assert {int(mask, 16) for mask in seen["capabilities"]} == {0}
    assert seen["no_new_privileges"] == "1"
    assert seen["seccomp"] == "2"
    assert seen["uid"] == ["65534"] * 4
    assert seen["gid"] == ["65534"] * 4
    assert seen["core_limit"] == ["0", "0"]
    # The image's VOLUME, which it lets anyone write, is in memory like the others.
    scratch = ("/declared", "/dev/mqueue", SHARED_MEMORY, "/run/infraval", TEMP)
    assert seen["writable"] == [f"{path}/new-file" for path in scratch]
    assert seen["types"]["/declared"] == seen["types"][SHARED_MEMORY] == seen["types"][TEMP] == "tmpfs"
    assert "ro" in seen["options"]["/"]
    assert {"rw", "nosuid", "nodev"} <= {*seen["options"][TEMP]}
    assert "noexec" not in seen["options"][TEMP]
    assert {"rw", "nosuid", "nodev", "noexec", "size=65536k"} <= {*seen["options"][SHARED_MEMORY]}
    assert int(seen["memory"]) == MEMORY_LIMIT
    assert int(seen["memory_and_swap"]) in (MEMORY_LIMIT, 0)  # together in control groups 1, swap alone in 2
    assert seen["pids"] == "600"
    quota, period = seen["cpu"].split()[0], seen["cpu_period"].split()[-1]
    assert int(quota) / int(period) == 1.5


@pytest.mark.usefixtures("running")
def test_only_the_environment_that_was_asked_for_comes_along(container_of: ContainerOf, inside: Inspect) -> None:
    """Besides the image's own variables there are the contract's two, and those given, by value or by name."""
    container = container_of()
    of_image = {name.partition("=")[0] for name in container.image.attrs["Config"]["Env"]}
    seen = dict(variable.split("=", 1) for variable in inside(container)["environment"])

    added = {name: value for name, value in seen.items() if name not in of_image | {"HOSTNAME"}}
    assert added == {"GIVEN": "a=b", "FROM_HERE": "the value here"}
    assert (seen["MODEL_NAME"], seen["MODEL_BASE_PATH"], seen["BEHAVIOUR"]) == ("m", "/model", "serve")


def test_outside_it_is_reached_by_its_socket_only(
    running: docker_sandbox.DockerSandbox, container_of: ContainerOf, private_directory: Path
) -> None:
    """No port is published; the socket is in a directory that only this user and the container can enter."""
    container = container_of()
    host = container.attrs["HostConfig"]
    assert running.target == f"unix:{private_directory}/r/grpc/s"
    assert (private_directory / "r").stat().st_mode & 0o777 == 0o700
    assert (private_directory / "r" / "grpc").stat().st_mode & 0o777 == 0o700
    assert not any(container.ports.values())
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert not host["Privileged"]
    assert not host["Devices"]
    assert host["LogConfig"]["Config"]["max-size"]
    assert "HEALTHCHECK" in str(container.image.history())
    assert "Health" not in container.attrs["State"]
    writable = [mount["Destination"] for mount in container.attrs["Mounts"] if mount["RW"]]
    assert writable == ["/run/infraval"]


@pytest.mark.usefixtures("faulty_image")
def test_limits_are_set_although_none_was_asked_for(make_sandbox: MakeSandbox, container_of: ContainerOf) -> None:
    """By default a server may take most of the memory, with no swap, every CPU, and a bounded number of threads."""
    with make_sandbox("hang-at-load"):
        host = container_of().attrs["HostConfig"]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0.7 * total < host["Memory"] < 0.9 * total
    assert host["MemorySwap"] == host["Memory"]
    assert host["NanoCpus"] == os.cpu_count() * 10**9
    assert host["PidsLimit"] == 4096


def test_the_server_gets_the_flags_and_the_files(
    make_sandbox: MakeSandbox, container_of: ContainerOf, inside: Inspect, models: Path
) -> None:
    """Flags come in the terms of the container, one's own last, and the container's user may read the files."""
    parameters = b"max_batch_size { value: 8 }"
    launch = base.Launch(
        "m",
        models,
        'model_config_list { config { name: "m" model_platform: "tensorflow" } }',
        files={"batching_parameters_file": parameters},
        grpc_max_threads=9,
        saved_model_tags=("serve", "gpu"),
    )
    with make_sandbox("hang-at-load", launch=launch, server_arguments=("--grpc_max_threads=7",)):
        container = container_of()
        arguments = inside(container)["arguments"]
        assert container.exec_run(["cat", "/model/.batching_parameters"]).output == parameters
        assert b'base_path: "/model/m"' in container.exec_run(["cat", "/model/.model_config"]).output
    assert arguments[2:-1] == [
        "--grpc_socket_path=/run/infraval/s",
        "--max_num_load_retries=0",
        "--grpc_max_threads=9",
        "--enable_batching",
        "--batching_parameters_file=/model/.batching_parameters",
        "--model_config_file=/model/.model_config",
        "--saved_model_tags=serve,gpu",
        "--grpc_max_threads=7",
    ]


def test_another_user_can_be_asked_for(make_sandbox: MakeSandbox, container_of: ContainerOf, inside: Inspect) -> None:
    """server.user is who the server runs as, and the socket's directory is that user's."""
    with make_sandbox("hang-at-load", user="1234:2345"):
        seen = inside(container_of())
    assert (seen["uid"][0], seen["gid"][0]) == ("1234", "2345")
    assert "/run/infraval/new-file" in seen["writable"]


def test_a_user_who_may_not_own_the_socket_is_an_error(
    start_client: Callable[..., contextlib.AbstractContextManager[subprocess.Popen[str]]],
) -> None:
    """Root of a user namespace can give nothing to a user whom the namespace does not have; it is told what to do."""
    with start_client("load", within=["unshare", "--user", "--map-root-user"]) as client:
        said, _ = client.communicate(timeout=120)
    assert client.returncode == 2
    assert "ServerStartError: The socket's directory cannot be given to the container's user 65534:65534" in said
    assert "server.user" in said
