"""The README's own lines, as somebody pastes them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_your_own_model_in_five_lines(tmp_path: Path) -> None:
    """Export, examples, validation, server and request work one after the other, and the request is answered."""
    section = re.search(r"## Your own model in five lines\n.*?```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert section is not None
    # An address of the test's own, so that the README's ports are free on it.
    host = f"127.{os.getpid() >> 16 & 0x7F}.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF or 1}"
    lines = section[1].replace("infraval serve", f"infraval serve --host={host}").replace("127.0.0.1", host)
    assert len(lines.splitlines()) == 5
    answer = tmp_path / "answer"

    # The server keeps standard output open, so what is read is in a file.
    with (
        answer.open("wb") as output,
        subprocess.Popen(
            ["/bin/bash", "-e", "-c", lines],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=output,
            start_new_session=True,
        ) as shell,
    ):
        try:
            code = shell.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left if a line failed
                os.killpg(shell.pid, signal.SIGTERM)

    printed = answer.read_text()
    assert code == 0
    assert "BLESSED" in printed.splitlines()
    predictions = json.loads(printed[printed.index("{") :])["predictions"]
    assert [len(row) for row in predictions] == [3]
