"""Sends the same requests again: alone, and at the same time as others, so that a server that batches merges them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import TypeAlias

from infraval import evidence, options
from infraval.requests import rows
from infraval.trial import boot, comparison, replay

_REQUESTS = 32
"""Requests to send again; the first of each cell in any case."""

_BUDGET_S = 20.0
"""How long to send others than the first of each cell, and to send together what was sent together already."""

_AT_ONCE = 4
"""Requests to send at the same time, at least, so that a batch can have several."""

_ROUNDS = 3
"""Whether a server merges requests depends on when they arrive, so they are sent together more than once."""

_Group: TypeAlias = tuple[str, options.Method]


class Study:
    """A `boot.Study` that keeps `found`."""

    def __init__(self, job: options.Job, booter: boot.Booter, clock: Callable[[], float] = time.monotonic) -> None:
        self.found: evidence.Determinism | None = None
        self._batched = job.batched
        self._tolerance = job.gates.determinism.tolerance
        self._booter = booter
        self._clock = clock

    def __call__(self, serving: boot.Serving) -> None:
        """Sends the first request of each cell, and some more, of each signature and method in turn."""
        self._end_s = self._clock() + _BUDGET_S
        self._unanswered: Counter[tuple[str, options.Method, str, str]] = Counter()
        at_once = max(_AT_ONCE, self._booter.limits.concurrency)
        self._booter.progress("Sending the same requests again, alone and together")
        serving.times.begin("requests again")
        alone: list[evidence.Compared] = []
        together: list[evidence.Compared] = []
        count = 0
        with futures.ThreadPoolExecutor(at_once, thread_name_prefix="together") as pool:
            for group in _groups(serving.requests):
                answered = list(self._alone(serving, group, alone))
                count += len(answered)
                if answered:
                    self._together(serving, answered, at_once, pool, together)
        unanswered = tuple(evidence.Unanswered(*key, requests=number) for key, number in self._unanswered.items())
        total = comparison.total
        self.found = evidence.Determinism(self._batched, count, at_once, total(alone), total(together), unanswered)

    def _alone(
        self, serving: boot.Serving, group: Sequence[int], compared: list[evidence.Compared]
    ) -> Iterator[tuple[replay.Request, bytes]]:
        """Requests and their first answers, after each was sent twice; for a server that batches, also single rows."""
        room = self._booter.limits.response_memory_bytes
        for number, (request, is_own) in enumerate(_probes(serving.requests, group, split=self._batched)):
            if room < 0 or (number and self._clock() > self._end_s):
                return
            first = self._answer(serving, request, tell=is_own)
            second = self._answer(serving, request) if first is not None else None
            if first is not None and second is not None:
                room -= len(first)
                compared += comparison.compare(request[0], second, first, self._tolerance)
                yield request, first

    def _together(
        self,
        serving: boot.Serving,
        answered: Sequence[tuple[replay.Request, bytes]],
        at_once: int,
        pool: futures.Executor,
        compared: list[evidence.Compared],
    ) -> None:
        """Sends requests of one signature and method, several at the same time, and compares the answers."""

        def send(request: replay.Request, start: threading.Barrier) -> bytes | None:
            start.wait()
            return self._answer(serving, request)

        for number in range(_ROUNDS):
            for start in range(0, len(answered), at_once):
                if (number or start) and self._clock() > self._end_s:
                    return
                batch = list(itertools.islice(itertools.cycle(answered), start, start + at_once))
                barrier = threading.Barrier(at_once)
                answers = pool.map(send, [request for request, _ in batch], [barrier] * at_once)
                for (request, first), answer in zip(batch, answers, strict=True):
                    if answer is not None:
                        compared += comparison.compare(request[0], answer, first, self._tolerance)

    def _answer(self, serving: boot.Serving, request: replay.Request, *, tell: bool = True) -> bytes | None:
        """The answer to a request; None for an error, of which it is kept that there was one."""
        self._booter.check_aborted()
        cell, log = request
        received: list[bytes] = []
        code, message = serving.connection.send(log, self._booter.limits.request_timeout_s, received.append)
        if code == evidence.OK:
            return received[0]
        if tell and code not in replay.OVERLOADED:
            self._unanswered[cell.signature, cell.method, code, self._booter.redactor.message(message, log)] += 1
        return None


def _groups(requests: replay.Requests) -> list[list[int]]:
    """Positions of the requests to send again, by signature and method; the first of each cell come first."""
    positions, cells = replay.firsts_before_others(requests)
    groups: dict[_Group, list[int]] = {}
    for position in positions[: max(_REQUESTS, cells)]:
        cell = requests.cell(position)
        groups.setdefault((cell.signature, cell.method), []).append(position)
    return list(groups.values())


def _probes(
    requests: replay.Requests, positions: Sequence[int], *, split: bool
) -> Iterator[tuple[replay.Request, bool]]:
    """The requests, and whether each is one of the requests: not, if it is a row of one, which a batch has room for."""
    for position in positions:
        yield requests[position], True
    left = _REQUESTS if split else 0
    for position in positions:
        cell, log = requests[position]
        if cell.batch_size > 1 and left > 0:
            found = [((options.Cell(cell.signature, cell.method, 1), row), False) for row in rows.split(log, left)]
            left -= len(found)
            yield from found
