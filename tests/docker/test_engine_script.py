"""The engine of these tests: one a directory, side by side with others, and gone without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

HERE = Path(__file__).parent

BASE_IMAGE = "infraval/python:1.21"

pytestmark = pytest.mark.docker

Script = Callable[..., str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the engines of a test are; removed at once, as images are large. A space in a path breaks shell scripts."""
    with tempfile.TemporaryDirectory(prefix="engine s") as path:
        yield Path(path)


@pytest.fixture
def script(folder: Path) -> Iterator[Script]:
    """Calls `engine.sh VERB` for a directory of this test's, by name; what is still up at the end is stopped."""
    directories = set()

    def call(verb: str, name: str = "one", *options: str) -> str:
        directories.add(folder / name)
        command = [HERE / "engine.sh", verb, *options, folder / name]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    yield call
    for directory in directories:
        subprocess.run([HERE / "engine.sh", "stop", directory], check=True)


def run_directory(url: str) -> Path:
    """Where the engine at this address has its socket and pid file."""
    return Path(url.removeprefix("unix://")).parent


def dockerd_pid(url: str) -> int:
    """The process of the engine at this address."""
    return int((run_directory(url) / "dockerd.pid").read_text())


def processes(url: str) -> set[int]:
    """The processes that have this engine's run directory in their arguments: dockerd, containerd and its shims."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if os.fsencode(run_directory(url)) in arguments:
            found.add(int(folder.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that its parent has not waited for has no arguments."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def bridge(url: str) -> Path:
    """The bridge of the engine at this address, in /sys while it exists; at most 15 characters name an interface."""
    return Path("/sys/class/net", run_directory(url).name.replace("-engine-", "")[:15])


def traces(url: str, directory: Path) -> dict[str, Any]:
    """What an engine that has ended may have left, apart from its images."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return {
        "processes": processes(url),
        "bridge": bridge(url).exists(),
        "run directory": list(run_directory(url).glob("*")),
        "mounts": [line for line in mounts.splitlines() if str(directory) in line or str(run_directory(url)) in line],
    }


NO_TRACES = {"processes": set(), "bridge": False, "run directory": [], "mounts": []}


@pytest.fixture
def sleeper() -> Iterator[Callable[[str], Any]]:
    """Starts a container that does nothing in the engine at an address, after loading the base image into it."""
    clients = []

    def start(url: str) -> Any:
        subprocess.run([HERE / "base_image.sh"], check=True, env=os.environ | {"DOCKER_HOST": url})
        client = docker.DockerClient(base_url=url)
        clients.append(client)
        container = client.containers.run(BASE_IMAGE, ["sleep", "infinity"], detach=True)
        container.reload()
        return container

    yield start
    for client in clients:
        client.close()


def test_starting_twice_gives_one_engine(script: Script) -> None:
    """The second start finds the first one's engine, and prints the same address."""
    url = script("start")
    pid = dockerd_pid(url)

    assert script("start") == url == script("url")
    assert dockerd_pid(url) == pid
    assert url != "unix:///var/run/docker.sock"


def test_engines_run_side_by_side(script: Script, folder: Path) -> None:
    """Two directories are two engines with sockets, processes and bridges of their own; one ends, the other stays."""
    first, second = script("start", "one"), script("start", "two")
    assert first != second
    assert bridge(first).exists()
    assert bridge(second).exists()

    script("stop", "one")

    assert traces(first, folder / "one") == NO_TRACES
    assert bridge(second).exists()
    with_second = docker.DockerClient(base_url=second)
    assert with_second.ping()
    with_second.close()


def test_an_engine_that_comes_back_takes_a_free_subnet(script: Script) -> None:
    """Its last subnet may be another engine's by now: two with the same one would get each other's connections."""
    script("start", "one")
    script("stop", "one")
    urls = [script("start", "two"), script("start", "one")]

    clients = [docker.DockerClient(base_url=url) for url in urls]
    subnets = [client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"] for client in clients]
    for client in clients:
        client.close()
    assert len(set(subnets)) == 2
    routes = subprocess.run(["ip", "-4", "route"], check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S607
    for url, subnet in zip(urls, subnets, strict=True):
        assert f"{subnet} dev {bridge(url).name} " in routes
        assert routes.count(f"{subnet} ") == 1


def test_stopping_leaves_nothing(script: Script, sleeper: Callable[[str], Any], folder: Path) -> None:
    """A running container, processes, mounts, socket and bridge are gone; stopping once more is no error."""
    url = script("start")
    container_pid = sleeper(url).attrs["State"]["Pid"]
    assert alive(container_pid)

    script("stop")

    assert not alive(container_pid)
    assert traces(url, folder) == NO_TRACES
    script("stop")


def test_nothing_is_left_of_a_start_that_fails(folder: Path) -> None:
    """run.sh, of a checkout of its own where dockerd dies at once: what was made for the engine by then is gone."""
    scripts = folder / "tests" / "docker"
    scripts.mkdir(parents=True)
    for name in ("run.sh", "engine.sh"):
        shutil.copy(HERE / name, scripts)
    dockerd = folder / "bin" / "dockerd"
    dockerd.parent.mkdir()
    dockerd.write_text("#!/bin/sh\necho no engine today\nexit 1\n")
    dockerd.chmod(0o755)
    environment = os.environ | {"PATH": f"{dockerd.parent}:{os.environ['PATH']}"}

    ended = subprocess.run([scripts / "run.sh", "true"], capture_output=True, text=True, check=False, env=environment)

    assert ended.returncode == 1
    assert "no engine today\nengine.sh: dockerd did not start" in ended.stderr
    url = subprocess.run([scripts / "engine.sh", "url"], check=True, capture_output=True, text=True).stdout.strip()
    assert traces(url, folder) == NO_TRACES


def test_no_engine_is_left_of_tests_that_a_signal_ends(folder: Path) -> None:
    """run.sh, of a checkout of its own: it ends its engine, and the second one, which the tests have started.

    More signals, which come while it does so, change nothing.
    """
    scripts = folder / "tests" / "docker"
    scripts.mkdir(parents=True)
    for name in ("run.sh", "engine.sh"):
        shutil.copy(HERE / name, scripts)
    (scripts / "images.sh").write_text("#!/bin/sh\n")
    (scripts / "images.sh").chmod(0o755)
    second = folder / "build" / "second-engine"
    again = "for _ in $(seq 40); do sleep 0.05; kill -TERM $PPID 2>&-; done >/dev/null &"
    kills = f'"$0" start "$1" && kill -TERM $PPID; {again}'
    tests = ["sh", "-c", kills, scripts / "engine.sh", second]

    ended = subprocess.run([scripts / "run.sh", *tests], capture_output=True, text=True, check=False)

    assert ended.returncode == 143, ended.stderr
    for directory in (folder / "build" / "engine", second):
        url = subprocess.run(
            [scripts / "engine.sh", "url", directory], check=True, capture_output=True, text=True
        ).stdout.strip()
        assert traces(url, folder) == NO_TRACES


def test_a_killed_engine_starts_again(script: Script) -> None:
    """What SIGKILL left, pid files with it, does not keep the next engine from starting."""
    url = script("start")
    killed = dockerd_pid(url)
    os.kill(killed, signal.SIGKILL)

    script("start")

    assert dockerd_pid(url) != killed


def test_a_stale_pid_file_may_name_a_stranger(script: Script) -> None:
    """An id from a dead engine's pid file that is another process by now: the engine starts, the process lives."""
    url = script("url")
    for name in ("dockerd.pid", "exec/containerd/containerd.pid"):
        path = run_directory(url) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(os.getpid()))

    script("start")

    assert dockerd_pid(url) != os.getpid()


def test_stopping_a_killed_engine_ends_its_containers(
    script: Script, sleeper: Callable[[str], Any], folder: Path
) -> None:
    """Containers survive a killed dockerd; stopping finds and ends them."""
    url = script("start")
    container_pid = sleeper(url).attrs["State"]["Pid"]
    os.kill(dockerd_pid(url), signal.SIGKILL)

    script("stop")

    assert not alive(container_pid)
    assert traces(url, folder) == NO_TRACES


def test_stopping_waits_for_files_that_are_still_open(script: Script, folder: Path) -> None:
    """What a process of a killed engine has open keeps its mount busy until that process has ended."""
    url = script("start")
    os.kill(dockerd_pid(url), signal.SIGKILL)
    script("start")  # the second dockerd leaves the mounts of the first
    holds = 'exec 3<"$1"; while [ -e "$2" ]; do sleep 0.05; done; sleep 1'
    command = ["sh", "-c", holds, "sh", folder / "one" / "data" / "engine-id", run_directory(url) / "dockerd.pid"]

    with subprocess.Popen(command):
        script("stop")

    assert traces(url, folder) == NO_TRACES


def test_an_engine_does_not_see_what_is_hidden(script: Script, tmp_path: Path) -> None:
    """With --hide, the engine's /tmp is not the client's: a bind mount of a client's folder is refused."""
    hidden = tmp_path / "client"
    hidden.mkdir()
    (hidden / "model").mkdir()
    url = script("start", "one", "--hide", str(hidden))
    subprocess.run([HERE / "base_image.sh"], check=True, env=os.environ | {"DOCKER_HOST": url})
    client = docker.DockerClient(base_url=url)
    mount = docker.types.Mount("/model", str(hidden / "model"), type="bind", read_only=True)

    with pytest.raises(docker.errors.APIError, match="bind source path does not exist"):
        client.containers.create(BASE_IMAGE, mounts=[mount])
    client.close()
