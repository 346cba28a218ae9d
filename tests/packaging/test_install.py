"""`make setup` on a machine that lacks what it needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_a_python_3_10_the_person_is_told_what_to_do(tmp_path: Path) -> None:
    """One clear sentence, and nothing that was there is touched."""
    project = tmp_path / "project"
    (project / "requirements").mkdir(parents=True)
    for script in ("find_python.sh", "install.sh"):
        shutil.copy2(ROOT / "requirements" / script, project / "requirements")
    (project / ".venv").mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "env"):
        (programs / name).symlink_to(shutil.which(name) or name)
    # A shim as pyenv's: it is on PATH, and fails unless its version is selected.
    (programs / "python3.10").write_text("#!/bin/sh\nexit 127\n")
    (programs / "python3.10").chmod(0o755)

    finished = subprocess.run(
        [project / "requirements" / "install.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs), "HOME": str(tmp_path)},
    )

    assert finished.returncode == 1
    assert "No Python 3.10" in finished.stderr
    assert "uv python install 3.10" in finished.stderr
    assert (project / ".venv").is_dir()
