"""Standard output and standard error: when nobody can take what is written, and when nobody wants to read it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
from collections.abc import Iterator
from typing import TextIO

_STANDARD_ERROR = 2

_shown: list[int] = []
"""The descriptor that still leads to the reader while file descriptor 2 is held back."""


def silence(stream: TextIO) -> None:
    """Points a stream that cannot be written at /dev/null.

    Otherwise Python tries again to write what is still buffered when it ends, and exits with 120.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def optional(stream: TextIO | None) -> Iterator[None]:
    """Around writes that may be lost: a full disk or a closed pipe silences the stream and raises nothing."""
    try:
        yield
        if stream is not None:
            stream.flush()
    except OSError:
        if stream is not None:
            silence(stream)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Around an import of TensorFlow: what is written to file descriptor 2 is shown only if the import fails.

    TensorFlow's C++ side logs before any log level is in effect. The descriptor is redirected for all threads, so only
    code that owns the process may do this. An import that kills the process shows Python's stack.
    """
    try:
        shown = os.dup(_STANDARD_ERROR)
    except OSError:  # closed: nobody reads it
        yield
        return
    told_of_crashes = faulthandler.is_enabled()
    with os.fdopen(os.memfd_create("stderr"), "rb") as held:
        _shown.append(shown)
        os.dup2(held.fileno(), _STANDARD_ERROR)
        if not told_of_crashes:
            faulthandler.enable(shown)
        try:
            yield
        except Exception:
            held.seek(0)
            with contextlib.suppress(OSError), os.fdopen(os.dup(shown), "wb") as standard_error:
                standard_error.write(held.read())
            raise
        finally:
            if not told_of_crashes:
                faulthandler.disable()
            os.dup2(shown, _STANDARD_ERROR)
            _shown.remove(shown)
            os.close(shown)


def standard_error() -> int:
    """The file descriptor to write to for what must be read, also while file descriptor 2 is held back."""
    return _shown[0] if _shown else _STANDARD_ERROR
