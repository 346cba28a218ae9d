"""Turns SIGTERM, SIGINT and SIGHUP into an exception, so that everything that was started is cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from infraval import errors

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalledError(errors.AbortedError):
    """A signal asked the process to end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"Ended by {number.name}. Everything that was started has been cleaned up.")
        self.signal = number


@contextlib.contextmanager
def abort_on_signal() -> Iterator[None]:
    """Raises SignalledError in the block when a signal arrives; a second signal, during clean-up, is ignored.

    Outside the main thread, where Python cannot handle signals, it has no effect.
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
