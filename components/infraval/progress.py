"""Sentences about the steps of a run, and how far a long one is.

Whoever tells progress calls one function with sentences. `Sending requests: 12 of 300` says how far the step with the
same beginning is: a terminal draws a bar, and where lines stay they must not be many.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

_AMOUNT = re.compile(r"(?P<step>.*): (?P<done>\d+) of (?P<total>\d+)(?: \w+)?", re.DOTALL)

_INTERVAL_S = 0.2
"""Between two amounts; the eye needs no more."""

_RARE_S = 10.0
"""The same where each is a line that stays."""


class Said(NamedTuple):
    """What a sentence says: the step, and how far it is; a total of 0 if that is not known."""

    step: str
    done: int = 0
    total: int = 0


def read(sentence: str) -> Said:
    """Takes a sentence apart; a number at its end, as of `Sending requests: 300`, is not part of the step."""
    if found := _AMOUNT.fullmatch(sentence):
        return Said(found["step"], int(found["done"]), int(found["total"]))
    step, _, number = sentence.rpartition(": ")
    return Said(step if step and number.isdecimal() else sentence)


def rarely(tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """The same function for where lines stay: of how far a step is, one line in ten seconds."""
    last, told_s = "", clock()

    def told(sentence: str) -> None:
        nonlocal last, told_s
        said = read(sentence)
        if said.total and said.step == last and clock() < told_s + _RARE_S:
            return
        last, told_s = said.step, clock()
        tell(sentence)

    return told


class Counter:
    """Tells how many of a step's parts are done; parts may be done in several threads.

    Args:
      tell: called with a sentence.
      step: what the sentence begins with.
      total: how many parts there are.
      clock: seconds.
    """

    def __init__(
        self, tell: Callable[[str], None], step: str, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._step, self._total, self._clock = tell, step, total, clock
        self._lock = threading.Lock()
        self._done, self._told_s = 0, clock()

    def add(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            if self._clock() < self._told_s + _INTERVAL_S:
                return
            self._told_s = self._clock()
            self._tell(f"{self._step}: {self._done} of {self._total}")
