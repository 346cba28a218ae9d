"""Checks that the modules of `--import-ops` can be imported, as the embedded server will import them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infraval import errors
from infraval.sandbox.process import supervised

_TIMEOUT_S = 300.0

_MARK = "infraval-import-ops"
_SCRIPT = f"""
import importlib, sys
for module in sys.argv[1:]:
    print("{_MARK}", module, file=sys.stderr, flush=True)
    try:
        importlib.import_module(module)
    except BaseException as error:
        found = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or " ")
        reason = " ".join(str(error).split())
        print("{_MARK}", "missing" if found else "failed", f"{{type(error).__name__}}: {{reason}}", file=sys.stderr)
        sys.exit(1)
"""


def check(modules: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    """Imports modules in another process, so that whatever their code does happens there.

    Args:
      modules: to import, in this order.
      directory: for the process; does not exist yet.
      environment: of the embedded server.

    Raises:
      OptionError: one cannot be imported.
    """
    environment = {**environment, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with supervised.SupervisedCommand([sys.executable, "-c", _SCRIPT, *modules], directory, environment) as command:
        try:
            command.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise errors.OptionError(f"{_name(command)} was not imported within {_TIMEOUT_S:g} s.") from None
        ended = command.poll()
    if ended is None or ended.code == 0:
        return
    outcome, _, reason = _last(command).partition(" ")
    if outcome == "missing":
        raise errors.OptionError(
            f"{_name(command)} cannot be imported: {reason}. Install it for this Python ({sys.executable}), set "
            "PYTHONPATH, or run infraval in the directory that holds it."
        )
    if outcome == "failed":
        advice = "Correct the module."
        if "undefined symbol" in reason or "Symbol not found" in reason:
            advice = "It was built for another TensorFlow; install the build for this one, or build it again."
        raise errors.OptionError(f"{_name(command)} cannot be imported: {reason.rstrip('.')}. {advice}")
    cause = f"exit code {ended.code}" if ended.signal is None else signal.Signals(ended.signal).name
    raise errors.OptionError(f"{_name(command)} cannot be imported: it ends Python with {cause}. Correct the module.")


def _lines(command: supervised.SupervisedCommand) -> list[str]:
    marked = (line.partition(f"{_MARK} ") for line in command.log().splitlines())
    return [line for _, mark, line in marked if mark] or [""]


def _last(command: supervised.SupervisedCommand) -> str:
    return _lines(command)[-1]


def _name(command: supervised.SupervisedCommand) -> str:
    names = [line for line in _lines(command) if " " not in line]
    return f"--import-ops (server.import_ops) {names[-1] if names else ''}"
