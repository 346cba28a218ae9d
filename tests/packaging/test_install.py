"""`make setup` on a machine that lacks what it needs."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import infraval
import infraval_server

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("script", "version"), [("install.sh", "3.10"), ("install_kfp.sh", "3.11")])
def test_without_its_python_the_person_is_told_what_to_do(tmp_path: Path, script: str, version: str) -> None:
    """What is missing and how to get it, and nothing that was there is touched."""
    project = tmp_path / "project"
    (project / "requirements").mkdir(parents=True)
    for name in (script, "find_python.sh"):
        shutil.copy2(ROOT / "requirements" / name, project / "requirements")
    environment = project / (".venv" if script == "install.sh" else ".venv-kfp")
    environment.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "env"):
        (programs / name).symlink_to(shutil.which(name) or name)
    # A shim as pyenv's: it is on PATH, and fails unless its version is selected.
    (programs / f"python{version}").write_text("#!/bin/sh\nexit 127\n")
    (programs / f"python{version}").chmod(0o755)

    finished = subprocess.run(
        [project / "requirements" / script],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs), "HOME": str(tmp_path)},
    )

    assert finished.returncode == 1
    assert f"needs a Python {version}" in finished.stderr
    assert f"uv python install {version}" in finished.stderr
    assert environment.is_dir()


def test_the_version_is_the_distributions() -> None:
    """setup.py and the package say the same."""
    distribution = importlib.metadata.version("tfx-infraval")
    assert infraval.__version__ == infraval_server.__version__ == distribution


def test_building_leaves_nothing_in_the_clone(tmp_path: Path) -> None:
    """`pip install .` builds where it is called; setuptools would leave `build/` there."""
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / name, tmp_path)
    (tmp_path / "components/infraval").mkdir(parents=True)
    (tmp_path / "components/infraval/__init__.py").touch()
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_py"], cwd=tmp_path, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "components", "pyproject.toml", "setup.py"]
