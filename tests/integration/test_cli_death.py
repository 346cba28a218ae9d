"""Killing `infraval validate` leaves nothing: no process and no socket, and no temp folder at the next start."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Start = Callable[[str], subprocess.Popen[str]]

EVENTUALLY_S = 60.0


@pytest.fixture
def temporary_directory() -> Iterator[Path]:
    """A TMPDIR of its own, short enough for a socket below it."""
    path = Path("/tmp", f"infraval-test-{os.getpid()}-{time.monotonic_ns() % 10**9}")  # noqa: S108 - short
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(
    infraval_command: Path, upper_model: Path, secret_examples: Path, tmp_path: Path, temporary_directory: Path
) -> Iterator[Start]:
    """Starts a validation with a server that behaves as named."""
    running = []

    def begin(behaviour: str) -> subprocess.Popen[str]:
        binary = tmp_path / "tensorflow_model_server"
        fakes = Path(__file__).parents[1] / "fakes.py"
        binary.write_text(f'#!/bin/sh\nexec {sys.executable} {fakes} {behaviour} {tmp_path}/boots "$@"\n')
        binary.chmod(0o755)
        arguments = ["--model", upper_model, "--examples", secret_examples, "--server", binary]
        process = subprocess.Popen(
            [infraval_command, "validate", *arguments, "--output", tmp_path / "results"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(temporary_directory)},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def _sockets(directory: Path) -> list[Path]:
    """Sockets below a directory that somebody else may be removing."""
    found = (Path(folder, name) for folder, _, names in os.walk(directory) for name in names)
    return [path for path in found if path.is_socket()]


PHASES = {"boot": ("hang-at-load", "Booting"), "replay": ("hang-in-request", "Sending")}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(
    start: Start,
    phase: str,
    number: signal.Signals,
    temporary_directory: Path,
    tmp_path: Path,
    eventually: Callable[..., bool],
    processes_of: Callable[[Path], set[int]],
) -> None:
    """Whatever ends the client takes the server and its socket along at once, and the temp folder at the next start."""
    behaviour, said = PHASES[phase]
    process = start(behaviour)
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            break
    assert eventually(lambda: processes_of(temporary_directory / "infraval-"))

    process.send_signal(number)

    assert eventually(lambda: not processes_of(temporary_directory / "infraval-"))
    assert eventually(lambda: not _sockets(temporary_directory))
    process.communicate(timeout=EVENTUALLY_S)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert not (tmp_path / "results").exists()
    if number == signal.SIGKILL:
        start("cold").communicate(timeout=5 * EVENTUALLY_S)
    assert not list(temporary_directory.iterdir())
