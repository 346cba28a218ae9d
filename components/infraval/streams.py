"""Standard output and standard error when nobody can take what is written to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO


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
