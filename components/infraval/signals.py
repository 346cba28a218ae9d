"""SIGTERM, SIGINT and SIGHUP end a run whatever it is doing, and what it started is cleaned up.

The first signal raises in the main thread, so that contexts clean up. What creates or removes something is `deferred`,
so that it is not torn apart. A library may swallow the exception; then it is raised again after the next deferred
block, and at the latest at the end of `abort_on_signal`. A second signal does not wait for any clean-up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_ONE_REQUEST_S = 1.0
"""Signals within this time are one request to end: service managers send SIGTERM and SIGHUP, people press twice."""


class SignalledError(SystemExit):
    """SIGTERM or SIGHUP asked the process to end; SIGINT is a KeyboardInterrupt.

    Not an `Exception`, because whoever handles failures must not swallow it. If nobody handles it, the exit code is
    128 + N and nothing is printed.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(128 + number)
        self.signal = number


@dataclasses.dataclass
class _Watch:
    last_words: Callable[[str], object] | None
    deferrals: int = 0
    begun: bool = False
    received: signal.Signals | None = None
    received_s: float = 0.0


_watches: list[_Watch] = []
"""The one in effect, if any."""


@contextlib.contextmanager
def abort_on_signal(last_words: Callable[[str], object] | None = None) -> Iterator[None]:
    """Raises SignalledError or KeyboardInterrupt in the block when a signal arrives.

    It has no effect inside such a block, outside the main thread, where Python cannot handle signals, and on signals
    that are ignored (`nohup`) or that somebody else handles.

    Args:
      last_words: if given, the process ends at once, after a call of this with a sentence, on a signal before anything
        was begun, and on a second one. If not, a second signal raises even in a deferred block.
    """
    if _watches or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch(last_words)
    default = (signal.SIG_DFL, signal.default_int_handler)
    previous = {number: signal.getsignal(number) for number in _SIGNALS if signal.getsignal(number) in default}
    _watches.append(watch)
    try:
        for number in previous:
            signal.signal(number, _on_signal)
        yield
    finally:
        watch.deferrals += 1
        for number, handler in previous.items():
            signal.signal(number, handler)
        _watches.clear()
        if watch.received is not None:
            # Whatever became of the exception: libraries swallow it, or wrap it in their own.
            raise _ending(watch.received)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Lets a signal that arrives in the block raise at its end: what is created there can be noted for removal."""
    if not _watches or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _watches[0]
    watch.begun = True
    watch.deferrals += 1
    try:
        yield
    finally:
        watch.deferrals -= 1
        # An exception that is on its way already cleans up.
        if watch.received is not None and not watch.deferrals and sys.exc_info()[0] is None:
            raise _ending(watch.received)


def has_arrived() -> bool:
    """Whether a signal has asked the run that is under way to end."""
    return any(watch.received is not None for watch in _watches)


def _on_signal(number: int, frame: FrameType | None) -> None:
    del frame
    watch, arrived = _watches[0], signal.Signals(number)
    if watch.received is None:
        watch.received, watch.received_s = arrived, time.monotonic()
        if not watch.begun:
            _end_now(watch, arrived, f"Ended by {arrived.name}.")
        if not watch.deferrals:
            raise _ending(arrived)
    elif time.monotonic() >= watch.received_s + _ONE_REQUEST_S:
        left = "temporary files, containers and volumes may be left, which the next run on this machine removes"
        _end_now(watch, arrived, f"Ended by a second signal, {arrived.name}; {left}.")
        raise _ending(arrived)


def _end_now(watch: _Watch, number: signal.Signals, sentence: str) -> None:
    if watch.last_words is not None:
        watch.last_words(sentence)
        os._exit(128 + number)


def _ending(number: signal.Signals) -> BaseException:
    return KeyboardInterrupt() if number is signal.SIGINT else SignalledError(number)
