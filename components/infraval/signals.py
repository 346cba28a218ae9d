"""SIGTERM, SIGINT and SIGHUP become an exception, so that everything that was started is cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from infraval import errors

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalledError(errors.AbortedError):
    """A signal asked the process to end.

    Attributes:
      signal: which.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"Ended by {number.name}; everything that was started has been cleaned up.")
        self.signal = number


@contextlib.contextmanager
def abort_on_signal() -> Iterator[None]:
    """Raises SignalledError in the block when a signal comes; a second one while cleaning up is ignored.

    Outside the main thread Python lets nobody handle signals; the block then runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def abort(number: int, frame: FrameType | None) -> None:
        del frame
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise SignalledError(signal.Signals(number))

    previous = {number: signal.signal(number, abort) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
