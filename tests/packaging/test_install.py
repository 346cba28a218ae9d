"""`make setup` on a machine that lacks what it needs."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import infraval
import infraval_server

ROOT = Path(__file__).parents[2]
PROGRAMS = ("awk", "bash", "dirname", "env", "mktemp", "rm")
# What uses the command line of a Python to tell its version; `python3.13 -c CODE 3.13` and `python3.13 -c CODE`.
FAKE_PYTHON = """#!/bin/sh
case $2 in
  *sys.exit*) [ "$3" = "{version}" ] ;;
  *sys.version_info*) echo {version} ;;
  *) exit 1 ;;
esac
"""

Machine = Callable[..., dict[str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone with the scripts, and with environments that were made before."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "requirements", project / "requirements")
    for name in (".venv", ".venv-kfp"):
        (project / name).mkdir()
    return project


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Makes the environment variables of a machine with a C library and Pythons."""

    def make(libc: str, *pythons: str, programs: tuple[str, ...] = (), **given: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in PROGRAMS:
            (folder / name).symlink_to(shutil.which(name) or name)
        scripts = {f"python{version}": FAKE_PYTHON.format(version=version) for version in pythons}
        # A shim as pyenv's: it is on PATH, and fails unless its version is selected.
        scripts |= {"python3": "#!/bin/sh\nexit 127\n", "getconf": f"#!/bin/sh\necho {libc}\n"}
        scripts |= dict.fromkeys(programs, "#!/bin/sh\n")
        for name, text in scripts.items():
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o755)
        return {"PATH": str(folder), "HOME": str(tmp_path), **given}

    return make


def _run(script: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("libc", "pythons", "asked", "stack", "python"),
    [
        ("glibc 2.41", ("3.10", "3.12", "3.13"), "", "1.21", "python3.13"),
        ("glibc 2.39", ("3.10", "3.11", "3.12"), "", "1.21", "python3.12"),
        ("glibc 3.0", ("3.11",), "", "1.21", "python3.11"),
        ("glibc 2.41", ("3.10",), "", "1.16", "python3.10"),
        ("glibc 2.41", ("3.10", "3.13"), "1.16", "1.16", "python3.10"),
        ("glibc 2.36", ("3.10", "3.11", "3.13"), "", "1.16", "python3.10"),
        ("musl", ("3.10", "3.13"), "", "1.16", "python3.10"),
        # None is there: uv is to download it.
        ("glibc 2.41", ("3.9", "3.14"), "", "1.21", "3.13"),
        ("glibc 2.41", ("3.10",), "1.21", "1.21", "3.13"),
        ("glibc 2.36", ("3.11",), "", "1.16", "3.10"),
    ],
)
def test_the_newest_stack_that_runs_is_chosen(
    project: Path, machine: Machine, libc: str, pythons: tuple[str, ...], asked: str, stack: str, python: str
) -> None:
    """And a line says which, and why."""
    finished = _run(project / "requirements/stack.sh", machine(libc, *pythons, INFRAVAL_STACK=asked))

    assert finished.returncode == 0, finished.stderr
    chosen, path = finished.stdout.split()
    assert (chosen, Path(path).name) == (stack, python)
    assert finished.stderr.startswith(f"TFX {stack}: ")
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("libc", "version", "asked", "stack"),
    [
        ("glibc 2.41", "3.11", "", "1.21"),
        ("glibc 2.41", "3.10", "", "1.16"),
        ("glibc 2.36", "3.10", "1.16", "1.16"),
        ("glibc 2.36", "3.12", "", None),
        ("glibc 2.41", "3.13", "1.16", None),
        ("glibc 2.41", "3.10", "1.21", None),
        ("glibc 2.41", "3.14", "", None),
        ("glibc 2.36", "3.10", "1.21", None),
        ("glibc 2.41", "3.13", "1.17", None),
    ],
)
def test_a_named_python_decides_on_the_stack(
    project: Path, machine: Machine, libc: str, version: str, asked: str, stack: str | None
) -> None:
    """What does not go together is refused, and nothing that was there is touched."""
    environment = machine(libc, version, "3.13" if version != "3.13" else "3.12", INFRAVAL_STACK=asked)
    python = f"{environment['PATH']}/python{version}"
    finished = _run(project / "requirements/stack.sh", environment | {"INFRAVAL_PYTHON": python})

    assert finished.stdout == ("" if stack is None else f"{stack} {python}\n")
    assert finished.returncode == (1 if stack is None else 0)
    assert len(finished.stderr.splitlines()) == 1
    assert (project / ".venv").is_dir()


@pytest.mark.parametrize(
    ("libc", "python", "programs", "package"),
    [
        ("glibc 2.36", "3.10", ("apt-get",), "g++"),
        ("glibc 2.36", "3.10", ("apt-get", "c++"), "python3.10-dev"),
        ("glibc 2.41", "3.13", ("apt-get",), "python3-venv"),
        ("glibc 2.41", "3.13", (), None),
    ],
)
def test_what_is_missing_is_named_before_anything_is_downloaded(
    project: Path, machine: Machine, libc: str, python: str, programs: tuple[str, ...], package: str | None
) -> None:
    """With what to type if the machine has apt; nothing that was there is touched."""
    finished = _run(project / "requirements/install.sh", machine(libc, python, programs=programs))

    assert finished.returncode == 1
    assert ("sudo apt-get install" in finished.stderr) == (package is not None)
    assert package is None or finished.stderr.endswith(f" {package}\n")
    assert (project / ".venv").is_dir()


def test_without_a_python_for_kfp_nothing_is_touched(project: Path, machine: Machine) -> None:
    """`make setup-kfp` says which Pythons will do."""
    finished = _run(project / "requirements/install_kfp.sh", machine("glibc 2.41", "3.10"))

    assert finished.returncode == 1
    assert "3.11, 3.12 or 3.13" in finished.stderr
    assert (project / ".venv-kfp").is_dir()


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
