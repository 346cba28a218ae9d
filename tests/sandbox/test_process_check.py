"""What is known about a server of this machine before any work is put into a model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infraval import errors, options
from infraval.sandbox import registry

TOLD: list[str] = []


def check(**server: object) -> None:
    """Checks a server on the process platform."""
    chosen = options.ProcessServer(**server)
    registry.platform(chosen).check(chosen, TOLD.append)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Writes a module into the working directory, which no entry of `sys.path` names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def module(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return module


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "ModuleNotFoundError: No module named 'ops'. Install it"),
        ("import missing_part", "ModuleNotFoundError: No module named 'missing_part'. Correct"),
        ("raise RuntimeError('two\\nlines \\x1b[31m')", r"RuntimeError: two lines \x1b[31m. Correct"),
        ("raise OSError('ops.so: undefined symbol: _ZN10tensorflow1')", "was built for another TensorFlow"),
        ("def (", "SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
    ],
)
def test_a_module_that_cannot_be_imported(code: str | None, reason: str, write: Callable[[str, str], str]) -> None:
    """One line with the module and the reason, whatever the module does."""
    write("good", "print('infraval-import-ops failed nothing')")
    if code is not None:
        write("ops", code)
    with pytest.raises(errors.OptionError) as caught:
        check(server="embedded", import_ops=("good", "ops"))
    told = str(caught.value)
    assert told.startswith("--import-ops (server.import_ops) ops cannot be imported: ")
    assert reason in told
    assert "\n" not in told


def test_a_module_in_the_working_directory_is_found(write: Callable[[str, str], str]) -> None:
    """As with `python -m`."""
    check(server="embedded", import_ops=(write("ops", "import sys; print('hello', file=sys.stderr)"),))


@pytest.mark.parametrize("server", ["/nowhere/tensorflow_model_server", "no-such-program", "/bin/true", "/etc/passwd"])
def test_a_server_that_is_not_there_or_something_else(server: str) -> None:
    """Known at once, not when it is started."""
    with pytest.raises(errors.ServerStartError, match=r"--server \(server.server\)"):
        check(server=server)


@pytest.mark.usefixtures("stand_in")
def test_a_server_that_answers_as_one() -> None:
    """Its `--version` is enough."""
    check(server="tensorflow_model_server")
    check()
