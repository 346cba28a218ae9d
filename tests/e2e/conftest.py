"""The demo as a reader runs it, and Pusher as TFX runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RunDemo = Callable[..., subprocess.CompletedProcess[str]]

PIPELINE = Path(__file__).parents[2] / "pipeline"


@pytest.fixture(scope="session")
def run_demo() -> RunDemo:
    """Runs `run_local.py` as `make demo` does, with no TF Serving on PATH; `pipeline` may be a changed copy."""

    def run(results: Path, *flags: str, pipeline: Path = PIPELINE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, pipeline / "run_local.py", "--results", results, *flags],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": "/usr/bin:/bin"},
            timeout=300,
        )

    return run
