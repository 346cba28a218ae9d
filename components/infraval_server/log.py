"""The server's log: TensorFlow Serving's texts on standard error, without its file names and line numbers.

Texts may quote bytes of a request that are not UTF-8; they are held as surrogate escapes and written as they were.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from typing import NoReturn


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
    sys.stderr.buffer.write(f"{text}\n".encode(errors="surrogateescape"))
    sys.stderr.buffer.flush()


def _write(severity: str, text: str) -> None:
    # Local time, as TensorFlow's own log lines have it.
    plain(f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f}: {severity} {text}")
