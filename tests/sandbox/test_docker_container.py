"""What is asked of a Docker engine, by what it is like; engines of kinds that cannot run here are described only."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import docker
import pytest

from infraval import options
from infraval.sandbox import base, model_server
from infraval.sandbox.docker import container as docker_container
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import model as docker_model
from infraval.sandbox.docker import watch as docker_watch

INFO = {"MemTotal": 10_000_000_000, "NCPU": 8, "CpuCfsQuota": True, "SecurityOptions": ["name=seccomp,profile=default"]}


def engine(**info: Any) -> docker_engine.Engine:
    """An engine that says these things about itself; it is never called."""
    return docker_engine.Engine(docker.APIClient(version="1.41"), "unix:///nonexistent", {**INFO, **info})


ROOTLESS = engine(SecurityOptions=["name=seccomp,profile=default", "name=rootless", "name=cgroupns"])
USERNS = engine(SecurityOptions=["name=userns"])


@pytest.mark.parametrize(
    ("gpus", "request_"),
    [
        ("all", {"Count": -1, "DeviceIDs": []}),
        ("2", {"Count": 2, "DeviceIDs": []}),
        ("device=0,GPU-1a", {"Count": 0, "DeviceIDs": ["0", "GPU-1a"]}),
    ],
)
def test_gpus_are_asked_for_as_docker_run_does(gpus: str, request_: dict[str, object]) -> None:
    """All of them, so many, or those with such an ID."""
    [asked] = docker_container.device_requests(gpus)
    assert {name: asked[name] for name in request_} == request_
    assert asked["Capabilities"] == [["gpu"]]


def test_no_gpus_are_asked_for_by_default() -> None:
    """An engine without them would refuse."""
    assert docker_container.device_requests("") == []


def test_the_environment_is_the_contract_and_what_was_asked_for() -> None:
    """NAME takes the value that it has here, and is left out if it has none; the contract's names cannot be changed."""
    launch = base.Launch("m", Path("/models"))
    asked = options.DockerServer(environment=("A=1=2", "B", "ABSENT", "EMPTY=", "MODEL_NAME=other"))
    assert docker_container.environment(launch, asked, {"B": "b", "SECRET": "s"}) == {
        "A": "1=2",
        "B": "b",
        "EMPTY": "",
        "MODEL_NAME": "m",
        "MODEL_BASE_PATH": "/model",
    }


def test_files_are_named_in_the_terms_of_the_container() -> None:
    """The image's entrypoint gives model name and base path; a model config file takes precedence over them."""
    launch = base.Launch(
        "m",
        Path("/models"),
        'model_config_list { config { name: "m" } }',
        labels=True,
        files={"monitoring_config_file": b"", "platform_config_file": b""},
    )
    given = options.DockerServer(server_arguments=("--a=1",))
    assert docker_container.command(launch, given, on_socket=False) == [
        "--max_num_load_retries=0",
        "--grpc_max_threads=64",
        "--allow_version_labels_for_unavailable_models",
        "--monitoring_config_file=/model/.monitoring_config",
        "--platform_config_file=/model/.platform_config",
        "--model_config_file=/model/.model_config",
        "--a=1",
    ]
    assert model_server.files(launch, "/model/m").keys() == {".monitoring_config", ".platform_config", ".model_config"}
    assert b'base_path: "/model/m"' in model_server.files(launch, "/model/m")[".model_config"]


def test_root_is_nobody_in_the_container_and_others_are_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server never runs as root unless that is asked for."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert docker_container.user(options.DockerServer(), engine()) == "65534:65534"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    assert docker_container.user(options.DockerServer(), engine()) == "1000:100"
    assert docker_container.user(options.DockerServer(user="7"), engine()) == "7"


def test_root_in_a_rootless_engine_is_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its container's root is the engine's own user outside; who its other users are is not known."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    assert docker_container.user(options.DockerServer(), ROOTLESS) == "0:0"
    assert docker_container.user_here("0:0", ROOTLESS) == "1000:100"
    assert docker_container.user_here("7", ROOTLESS) is None


def test_users_that_an_engine_maps_are_not_known_here() -> None:
    """So neither files nor the socket's directory can be shared with them."""
    assert docker_container.user_here("1000:100", engine()) == "1000:100"
    assert docker_container.user_here("1000:100", USERNS) is None


def test_an_engine_that_cannot_limit_the_cpu_is_not_asked_to() -> None:
    """It would refuse; what was asked for in so many words it has to refuse."""
    cannot = engine(CpuCfsQuota=False)
    assert docker_container.limits(options.DockerServer(), cannot)["nano_cpus"] is None
    assert docker_container.limits(options.DockerServer(cpus=0.5), cannot)["nano_cpus"] == 500_000_000
    assert docker_container.limits(options.DockerServer(), engine())["nano_cpus"] == 8_000_000_000


def test_memory_is_most_of_the_machines_unless_asked_for() -> None:
    """Swap comes on top of nothing."""
    limits = docker_container.limits(options.DockerServer(), engine())
    assert limits["mem_limit"] == limits["memswap_limit"] == 8_000_000_000
    assert docker_container.limits(options.DockerServer(memory_bytes=5), engine())["mem_limit"] == 5


def test_a_port_is_published_on_the_loopback_address_or_the_one_that_was_asked_for() -> None:
    """Never on every address."""
    for given, address in (
        (options.DockerServer(), "127.0.0.1"),
        (options.DockerServer(host_ip_address="192.0.2.7"), "192.0.2.7"),
    ):
        host = docker_container.host_config(engine(), given, on_socket=False)
        assert host["port_bindings"] == {8500: (address, None)}


def test_a_kernel_is_shared_with_an_engine_that_tells_the_same_of_it() -> None:
    """Another version of the kernel, or another size of memory, is a virtual machine's or another machine's."""
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    here = {"MemTotal": memory, "KernelVersion": os.uname().release}
    assert engine(**here).shares_kernel()
    assert not engine(**{**here, "MemTotal": memory - 4096}).shares_kernel()
    assert not engine(**{**here, "KernelVersion": "6.6.12-linuxkit"}).shares_kernel()


def test_an_engine_that_goes_while_it_tells_the_version_leaves_it_unknown(breaking_engine: Any) -> None:
    """The thread that asks ends without a word; what became of the server is for others to say."""
    breaking_engine.answers["/containers/c/exec"] = {"Id": "e"}
    with docker_engine.connect(options.DockerServer(base_url=breaking_engine.url, api_version="1.41")) as connected:
        query = docker_watch.VersionQuery(connected, "c", "sha256:0")
        query.start()
        assert query.answer() is None
    assert breaking_engine.broken == ["POST /exec/e/start"]


@pytest.mark.parametrize(("code", "ended"), [(0, (0, None)), (255, (255, None)), (137, (None, 9)), (134, (None, 6))])
def test_a_containers_exit_code_may_stand_for_a_signal(code: int, ended: tuple[int | None, int | None]) -> None:
    """As shells have it."""
    assert base.server_exit(code) == base.ServerExit(*ended)


def test_an_archive_holds_what_was_there_and_anyone_may_read_it(tmp_path: Path) -> None:
    """Content of all sizes, nested folders, what links point to, and names of any kind; modes and owners are evened."""
    content = {
        "1/saved_model.pb": b"",
        "1/variables/v.data": os.urandom(3_000_000),
        "1/assets/n\u00e4me " + "x" * 150: b"a",
    }
    for name, each in content.items():
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each)
        path.chmod(0o600)
    (tmp_path / "models" / "1" / "link").symlink_to(tmp_path / "models" / "1" / "variables")

    packed = b"".join(docker_model.tar({"m": tmp_path / "models"}))

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = {member.name: member for member in archive}
        files = {name: archive.extractfile(member) for name, member in members.items() if member.isfile()}
        found = {name: file.read() for name, file in files.items() if file is not None}
    linked = {"m/1/link/v.data": content["1/variables/v.data"]}
    assert found == {f"m/{name}": each for name, each in content.items()} | linked
    assert {member.mode for member in members.values() if member.isfile()} == {0o644}
    assert {member.mode for member in members.values() if member.isdir()} == {0o755}
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}


@pytest.mark.parametrize(
    ("mode", "user", "may"),
    [
        (0o600, "OWNER", True),
        (0o044, "OWNER", False),
        (0o604, "OTHER:OTHERS", True),
        (0o640, "OTHER:GROUP", True),
        (0o604, "OTHER:GROUP", False),
        (0o640, "OTHER:OTHERS", False),
        (0o604, "OTHER", False),  # the image might give it the group
        (0o644, "OTHER", True),
        (0o000, "0:0", True),
    ],
)
def test_who_may_read_a_model_is_told_by_modes(mode: int, user: str, tmp_path: Path, *, may: bool) -> None:
    """The owner by the owner's bits, the group by the group's, others by theirs, root always."""
    path = tmp_path / "model" / "file"
    path.parent.mkdir()
    path.parent.chmod(0o755)
    path.touch()
    if os.geteuid() == 0:
        os.chown(path, 7, 8)  # root's own file could not be told from one that root may read anyway
    path.chmod(mode)
    status = path.stat()
    for name, number in (
        ("OWNER", f"{status.st_uid}:9"),
        ("OTHERS", status.st_gid + 1),
        ("OTHER", status.st_uid + 1),
        ("GROUP", status.st_gid),
    ):
        user = user.replace(name, str(number))
    assert docker_model.may_read(path.parent, user) == may
