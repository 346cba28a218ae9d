"""What a person sees while the pipeline runs; what TFX, Beam and TensorFlow say goes to a file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import rich.console
import rich.live
import rich.spinner
from absl import logging as absl_logging


@contextlib.contextmanager
def diverted(log: Path) -> Iterator[TextIO]:
    """Sends standard output and error to a file: this process's, its C++ libraries' and its children's.

    Yields:
      What standard output was before.
    """
    streams = (sys.stdout, sys.stderr)
    saved = [os.dup(stream.fileno()) for stream in streams]
    with open(os.dup(saved[0]), "w", encoding="utf-8") as before:  # noqa: PTH123 - a descriptor, not a path
        try:
            with log.open("wb") as file:
                for stream in streams:
                    os.dup2(file.fileno(), stream.fileno())
            yield before
        finally:
            for stream, descriptor in zip(streams, saved, strict=True):
                stream.flush()
                os.dup2(descriptor, stream.fileno())
                os.close(descriptor)


@contextlib.contextmanager
def component_progress(console: rich.console.Console, *, spinner: bool) -> Iterator[Callable[[str], None]]:
    """Shows which component runs: in a spinner, or in a line each.

    Yields:
      A function that shows another text.
    """
    with contextlib.ExitStack() as stack:
        show: Callable[[str], None] = console.print
        if spinner:
            # Without redirection: what goes to sys.stdout is the libraries' and stays diverted.
            live = rich.live.Live(console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
            stack.enter_context(live)

            def show(text: str) -> None:
                live.update(rich.spinner.Spinner("dots", text), refresh=True)

        absl_logging.set_verbosity(absl_logging.INFO)
        logger, handler = absl_logging.get_absl_logger(), _ComponentStarts(show)
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        yield show


class _ComponentStarts(logging.Handler):
    """Listens to LocalDagRunner's log, the only place where it says which component it is at."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "Component %s is running." and isinstance(record.args, tuple):
            self._tell(str(record.args[0]))
