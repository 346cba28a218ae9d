"""What becomes of a server whose client is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infraval import workspace

CLIENT = Path(__file__).with_name("sandbox_client.py")

Eventually = Callable[..., bool]
ProcessesOf = Callable[[Path], set[int]]
StartClient = Callable[..., contextlib.AbstractContextManager[tuple[subprocess.Popen[str], list[str]]]]


pytestmark = pytest.mark.usefixtures("stand_in")


@pytest.fixture
def start_client(private_directory: Path) -> StartClient:
    """Starts a client in a process of its own, which prints its run directory once it is in the sandbox."""

    @contextlib.contextmanager
    def start(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
        command = [sys.executable, str(CLIENT), *arguments]
        environment = {**os.environ, "TMPDIR": str(private_directory)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as client:
            try:
                assert client.stdout is not None
                yield client, client.stdout.readline().split()
            finally:
                client.kill()

    return start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("behaviour", ["boot", "serve", "stubborn", "daemon"])
def test_nothing_outlives_a_client_that_is_killed(
    behaviour: str,
    number: signal.Signals,
    start_client: StartClient,
    eventually: Eventually,
    processes_of: ProcessesOf,
) -> None:
    """Soon after the client was killed, booting or serving, there is no process and no socket."""
    with start_client(behaviour) as (client, [run_directory]):
        assert behaviour == "boot" or eventually(Path(run_directory, "s").exists)
        assert processes_of(Path(run_directory))
        client.send_signal(number)
        assert eventually(lambda: not processes_of(Path(run_directory)))
        assert eventually(lambda: not Path(run_directory).exists())


def test_a_forked_process_does_not_keep_the_server(
    start_client: StartClient, eventually: Eventually, processes_of: ProcessesOf
) -> None:
    """A process forked from the client holds the client's pipe open; the server ends with the client all the same."""
    with start_client("serve", "fork") as (client, [run_directory, forked]):
        try:
            assert eventually(Path(run_directory, "s").exists)
            client.kill()
            client.wait()
            assert eventually(lambda: not processes_of(Path(run_directory)))
            assert eventually(lambda: not Path(run_directory).exists())
        finally:
            os.kill(int(forked), signal.SIGKILL)


def test_a_client_that_becomes_another_program_does_not_keep_the_server(
    start_client: StartClient, eventually: Eventually, processes_of: ProcessesOf
) -> None:
    """A client that execs keeps its pid but will never leave the sandbox; the server ends then."""
    with start_client("serve", "exec") as (client, [run_directory]):
        assert eventually(lambda: not processes_of(Path(run_directory)))
        assert eventually(lambda: not Path(run_directory).exists())
        assert client.poll() is None


def test_temporary_folders_are_gone_at_the_next_start(start_client: StartClient, private_directory: Path) -> None:
    """What a killed client left of its workspace is removed when the next one is made, even at the same moment."""
    with start_client("daemon") as (client, [run_directory]):
        client.kill()
        client.wait()
        assert Path(run_directory).parent.exists()
        with workspace.workspace(private_directory) as directory:
            assert list(private_directory.iterdir()) == [directory]
