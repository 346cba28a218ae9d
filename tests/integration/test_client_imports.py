"""What a run of the command line imports, seen from within it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FAKES = Path(__file__).parents[1] / "fakes.py"

CODE = """
import runpy, sys
sys.argv[0] = "infraval"
try:
    runpy.run_module("infraval", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print("exit", end.code)
print(sorted({"apache_beam", "tensorflow.python"} & {*sys.modules}))
"""


def test_a_run_with_a_server_of_its_own_imports_neither_tensorflow_nor_beam(
    upper_model: Path, secret_examples: Path, tmp_path: Path
) -> None:
    """From the command to the report: only the embedded server needs TensorFlow, and only Beam arguments Beam."""
    server = tmp_path / "tensorflow_model_server"
    server.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKES} serve {tmp_path}/boots "$@"\n')
    server.chmod(0o755)
    given = ["--model", upper_model, "--examples", secret_examples, "--server", server, "--output", tmp_path / "output"]
    finished = subprocess.run(
        [sys.executable, "-c", CODE, "validate", *map(str, given)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-2:] == ["exit 0", "[]"], finished.stderr
    assert (tmp_path / "output" / "INFRA_BLESSED").exists()
    assert f"page    {tmp_path}/output/report.html" in finished.stdout.splitlines()
