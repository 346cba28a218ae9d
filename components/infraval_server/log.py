"""The server's log: TensorFlow Serving's texts on standard error, without its file names and line numbers.

Texts may quote bytes of a request that are not UTF-8; they are held as surrogate escapes and written as they were.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

_own: list[BinaryIO] = []
"""Where to write once `held_back` was entered: never closed, so that a thread may log at any time."""


def info(text: str) -> None:
    """Logs what happened."""
    _write("I", text)


def warning(text: str) -> None:
    """Logs what is probably not meant to be so."""
    _write("W", text)


def error(text: str) -> None:
    """Logs what failed."""
    _write("E", text)


def fatal(text: str) -> NoReturn:
    """Logs why TensorFlow Serving would abort here, and does the same."""
    _write("F", text)
    os.abort()


def plain(text: str) -> None:
    """Writes a line without time and severity, as TensorFlow Serving prints what ends it."""
    stream = _own[0] if _own else sys.stderr.buffer
    stream.write(f"{text}\n".encode(errors="surrogateescape"))
    stream.flush()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Around the import of TensorFlow: what it writes to file descriptor 2 is in the log only if the import fails.

    Its C++ side logs before any log level is in effect. An import that kills the process logs Python's stack. To be
    entered once in a process.
    """
    standard_error, told_of_crashes = sys.stderr.fileno(), faulthandler.is_enabled()
    _own.append(os.fdopen(os.dup(standard_error), "wb"))
    with os.fdopen(os.memfd_create("stderr"), "rb") as held:
        os.dup2(held.fileno(), standard_error)
        if not told_of_crashes:
            faulthandler.enable(_own[0])
        try:
            yield
        except Exception:
            held.seek(0)
            _own[0].write(held.read())
            _own[0].flush()
            raise
        finally:
            if not told_of_crashes:
                faulthandler.disable()
            os.dup2(_own[0].fileno(), standard_error)


def _write(severity: str, text: str) -> None:
    # Local time, as TensorFlow's own log lines have it.
    plain(f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f}: {severity} {text}")
