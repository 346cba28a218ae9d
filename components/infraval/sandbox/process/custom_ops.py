"""Checks that the modules of `--import-ops` can be imported, as the embedded server will import them."""

from __future__ import annotations

import signal
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
        ended = command.wait(_TIMEOUT_S)
    module, said = _said(command.log())
    if ended is None:
        raise errors.OptionError(f"--import-ops (server.import_ops) {module} was not imported within {_TIMEOUT_S:g} s.")
    if ended.code == 0:
        return
    outcome, _, reason = said.partition(" ")
    advice = "Correct the module."
    if not said:
        cause = f"exit code {ended.code}" if ended.signal is None else signal.Signals(ended.signal).name
        reason = f"it ends Python with {cause}"
    elif outcome == "missing":
        advice = (
            f"Install it for this Python ({sys.executable}), set PYTHONPATH, or run infraval in the directory that "
            "holds it."
        )
    elif "undefined symbol" in reason or "Symbol not found" in reason:
        advice = "It was built for another TensorFlow; install the build for this one, or build it again."
    raise errors.OptionError(
        f"--import-ops (server.import_ops) {module} cannot be imported: {reason.rstrip('.')}. {advice}"
    )


def _said(log: str) -> tuple[str, str]:
    """The module that was imported last, and what was said of it; empty if nothing was."""
    marked = (line.partition(f"{_MARK} ") for line in log.splitlines())
    module, said = "", ""
    for line in (line for _, mark, line in marked if mark):
        module, said = (module, line) if " " in line else (line, "")
    return module, said
