"""Standard error while TensorFlow is imported: a stand-in module writes to file descriptor 2 past Python's streams."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infraval import streams

NOISE = "cudart_stub.cc:31] Could not find cuda drivers"

SIGNALLED = """
import os, signal
import click
from infraval import streams
from infraval.cli import guard

@click.command(cls=guard.Command)
def run():
    with streams.held_back():
        os.write(2, b"noise")
        os.kill(os.getpid(), signal.SIGTERM)

run()
"""

WITHOUT_STANDARD_ERROR = """
import os
from infraval import streams
os.close(2)
with streams.held_back():
    print("imported")
"""


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module that writes to file descriptor 2, and then does what the environment's ENDING says."""
    (tmp_path / "noisy_library.py").write_text(f"import os\nos.write(2, b'{NOISE}')\nexec(os.environ['ENDING'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delitem(sys.modules, "noisy_library", raising=False)
    return "noisy_library"


def test_what_an_import_writes_is_not_shown(
    noisy: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And afterwards standard error is what it was."""
    monkeypatch.setenv("ENDING", "")
    with streams.held_back():
        importlib.import_module(noisy)
        os.write(streams.standard_error(), b"last words;")
    os.write(streams.standard_error(), b"later")
    assert capfd.readouterr().err == "last words;later"


def test_what_an_import_writes_is_shown_if_it_fails(
    noisy: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may be the reason."""
    monkeypatch.setenv("ENDING", "raise ImportError('no such symbol')")
    with pytest.raises(ImportError, match="no such symbol"), streams.held_back():
        importlib.import_module(noisy)
    assert capfd.readouterr().err == NOISE


@pytest.mark.parametrize("module", ["infraval.streams", "infraval_server.log"])
def test_an_import_that_kills_the_process_says_where(module: str, noisy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow aborts on a processor that it was not built for."""
    monkeypatch.setenv("ENDING", "os.abort()")
    code = f"import {module}\nwith {module}.held_back():\n    import {noisy}\n"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == -6
    assert "Fatal Python error: Aborted" in finished.stderr
    assert f"{noisy}.py" in finished.stderr


@pytest.mark.parametrize(("ending", "shown"), [("", False), ("raise ImportError", True)])
def test_the_servers_own_lines_are_logged_all_the_time(
    ending: str, shown: bool, noisy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the same for itself, and a thread of it may log while TensorFlow is imported."""
    monkeypatch.setenv("ENDING", ending)
    code = (
        "from infraval_server import log\n"
        "log.plain('before')\n"
        "try:\n"
        "    with log.held_back():\n"
        f"        log.plain('meanwhile')\n        import {noisy}\n"
        "except ImportError: pass\n"
        "import os\nos.write(2, b'\\n')\nlog.plain('after')\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stderr.splitlines() == ["before", "meanwhile", NOISE if shown else "", "after"]


def test_the_last_words_on_a_signal_are_shown_all_the_same() -> None:
    """The command line ends in the middle of the import."""
    finished = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (128 + 15, "infraval: Ended by SIGTERM.\n")


def test_a_closed_standard_error_is_left_closed() -> None:
    """`infraval … 2>&-`."""
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_STANDARD_ERROR], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, "imported\n")
