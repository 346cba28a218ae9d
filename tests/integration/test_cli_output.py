"""What becomes of a command whose output nobody takes: its exit code must not pass for a verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RESULT = """
import click
from infraval.report import terminal as console
from infraval.cli import guard

@click.command(cls=guard.Command)
@click.option("--json", "as_json", is_flag=True)
def run(as_json):
    with console.progress() as progress:
        progress("Booting")
    with guard.writing():
        if as_json:
            click.echo("{}")
        else:
            console.show_inspection({"signatures": {}, "warmup": None})
    return 0

run()
"""


WARNINGS = """
import logging, warnings
import click
from infraval.cli import guard

@click.command(cls=guard.Command)
def run():
    logging.getLogger("apache_beam.io.filesystems").warning("Failed to import GCSFileSystem")
    logging.getLogger("tensorflow").warning("AutoGraph could not transform")
    warnings.warn("filter_query has been removed", DeprecationWarning)
    logging.getLogger("apache_beam").error("Out of memory")
    return 0

run()
"""


@pytest.fixture
def unwritable() -> Callable[[str], int]:
    """A descriptor that cannot be written: of a disk that is full, or of a pipe that nobody reads."""

    def make(kind: str) -> int:
        if kind == "disk":
            return os.open("/dev/full", os.O_WRONLY)
        reader, writer = os.pipe()
        os.close(reader)
        return writer

    return make


@pytest.mark.parametrize(
    ("form", "kind", "why"), [(["--json"], "disk", "No space left on device"), ([], "pipe", "Broken pipe")]
)
def test_a_result_that_cannot_be_written_is_exit_code_2(
    form: list[str], kind: str, why: str, unwritable: Callable[[str], int]
) -> None:
    """1 would say that the model is not blessed; what is wrong is on standard error, in one sentence."""
    descriptor = unwritable(kind)
    finished = subprocess.run(
        [sys.executable, "-c", RESULT, *form], stdout=descriptor, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(descriptor)
    assert (finished.returncode, finished.stderr) == (
        2,
        f"infraval: Booting\ninfraval: Standard output cannot be written: {why}.\n",
    )


@pytest.mark.parametrize("kind", ["disk", "pipe"])
def test_progress_that_nobody_reads_is_no_reason_to_end(kind: str, unwritable: Callable[[str], int]) -> None:
    """The result comes all the same."""
    descriptor = unwritable(kind)
    finished = subprocess.run(
        [sys.executable, "-c", RESULT, "--json"], stdout=subprocess.PIPE, stderr=descriptor, text=True, check=False
    )
    os.close(descriptor)
    assert (finished.returncode, finished.stdout) == (0, "{}\n")


@pytest.mark.parametrize("kind", ["disk", "pipe"])
@pytest.mark.parametrize(
    "arguments",
    [["validate"], ["inspect", "--no-such-option"], ["no-such-command"], ["validate", "--model", "/nowhere"]],
)
def test_a_complaint_that_nobody_reads_keeps_its_exit_code(
    arguments: list[str], kind: str, infraval_command: Path, unwritable: Callable[[str], int]
) -> None:
    """1 would be a verdict, and 120 is what Python exits with if it cannot flush standard error."""
    descriptor = unwritable(kind)
    finished = subprocess.run(
        [infraval_command, *arguments], stdout=subprocess.PIPE, stderr=descriptor, text=True, check=False
    )
    os.close(descriptor)
    assert (finished.returncode, finished.stdout) == (2, "")


def test_an_error_that_cannot_be_written_as_json_is_exit_code_2(
    infraval_command: Path, unwritable: Callable[[str], int]
) -> None:
    """A wrong command line, told to nobody."""
    descriptor = unwritable("pipe")
    finished = subprocess.run(
        [infraval_command, "inspect", "--json"], stdout=descriptor, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(descriptor)
    assert finished.returncode == 2
    assert "Standard output cannot be written: Broken pipe." in finished.stderr


def test_libraries_are_heard_only_when_something_fails() -> None:
    """Beam warns of file systems that nobody asked for, and all warn of each other."""
    finished = subprocess.run([sys.executable, "-c", WARNINGS], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "Out of memory\n")


def test_tensorflow_says_nothing_of_itself(infraval_command: Path, sink_model: Path) -> None:
    """Neither of the drivers that it looks for when it is imported, nor of processors."""
    finished = subprocess.run(
        [infraval_command, "inspect", sink_model, "--json"], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_inspection_that_cannot_be_written_is_exit_code_2(
    flags: list[str], infraval_command: Path, sink_model: Path, unwritable: Callable[[str], int]
) -> None:
    """The same of a whole command."""
    descriptor = unwritable("pipe")
    finished = subprocess.run(
        [infraval_command, "inspect", sink_model, *flags],
        stdout=descriptor,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(descriptor)
    assert (finished.returncode, finished.stderr) == (2, "infraval: Standard output cannot be written: Broken pipe.\n")
