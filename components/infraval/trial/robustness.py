"""Sends malformed requests to servers of their own, and finds out which of them a server does not survive."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator

from infraval import errors, evidence, options
from infraval.trial import blame, boot, client, malformed, replay


def probe(
    asked: options.RobustGate,
    requests: replay.Requests,
    booter: boot.Booter,
    clock: Callable[[], float] = time.perf_counter,
) -> evidence.Robustness:
    """Sends queries derived from the requests, on a new boot after each that a server did not survive.

    Nothing that happens to these servers counts anywhere else, and none of it is tried again.

    Raises:
      SandboxError: the server could not be booted, and the model is not the cause.
      UnregisteredOpError: the embedded server cannot judge this model.
      AbortedError: `abort` of the booter was called.
    """
    probing = _Probing(asked, requests, booter, clock)
    boots = 0
    while probing.wants_a_server and boots < asked.max_boots:
        boots += 1
        booter.progress(f"Sending malformed requests on a server of their own, boot {boots} of up to {asked.max_boots}")
        booted, _ = booter.boot_until_definite(requests, replayed=False, studies=[probing.study])
        if not booted.answered_all:
            probing.lost.append("The model could not be booted again after a malformed request.")
            break
    return evidence.Robustness(probing.sent, probing.left, boots, tuple(probing.killers), tuple(probing.lost))


class _Probing:
    """The queries that are not sent yet, and what became of the others; `study` goes on where it left off."""

    def __init__(
        self,
        asked: options.RobustGate,
        requests: replay.Requests,
        booter: boot.Booter,
        clock: Callable[[], float],
    ) -> None:
        self.sent = 0
        self.killers: list[evidence.Killer] = []
        self.lost: list[str] = []
        self._asked = asked
        self._booter = booter
        self._clock = clock
        self._left_s = asked.budget_s
        self._goods = _one_of_each(requests)
        self._pending: collections.deque[malformed.Query] | None = None

    @property
    def wants_a_server(self) -> bool:
        """Whether there is something to send, and time for it."""
        return self._left_s > 0 and (self._pending is None or bool(self._pending))

    @property
    def left(self) -> int:
        """How many queries have not been sent, without those of kinds that are known to kill."""
        return len(self._pending or ())

    def study(self, serving: boot.Serving) -> None:
        """Sends queries until the server dies, does not answer, or none or no time are left."""
        started = self._clock()
        if self._pending is None:
            self._pending = collections.deque(self._derive(serving))
        while self._pending and self._clock() - started < self._left_s:
            self._booter.check_aborted()
            query = self._pending.popleft()
            self.sent += 1
            if not self._survives(query, serving):
                self._pending = collections.deque(each for each in self._pending if each.kind != query.kind)
                break
        self._left_s -= self._clock() - started

    def _derive(self, serving: boot.Serving) -> Iterator[malformed.Query]:
        for cell, log in self._goods:
            yield from malformed.derive(cell, serving.connection.request_of(log), self._asked.huge_batch)

    def _survives(self, query: malformed.Query, serving: boot.Serving) -> bool:
        timeout_s = self._booter.limits.request_timeout_s
        started = self._clock()
        code, _ = serving.connection.call(client.Prepared.of(f"{query.method.value}_log", query.make()), timeout_s)
        outcome = evidence.Outcome(options.Cell(query.signature, query.method, 0), code, "", self._clock() - started)
        try:
            cause = blame.death_while_serving(
                serving.sandbox, [outcome], self._booter.redactor, serving.connection.available
            )
        except errors.ServerLostError as error:
            self.lost.append(f"After {query.what}: {error.args[0]}")
            return False
        if cause is None and code != evidence.LATE:
            return True
        self.killers.append(
            evidence.Killer(
                signature=query.signature,
                method=query.method,
                input=query.input,
                what=query.what,
                request=query.shown,
                cause=cause or "",
                said=self._booter.redactor.log(serving.sandbox.log()).rpartition("\n")[2] if cause else "",
            )
        )
        return False


def _one_of_each(requests: replay.Requests) -> list[replay.Request]:
    """A request of the smallest batch size of each signature and method."""
    smallest: dict[tuple[str, options.Method], int] = {}
    for position in range(len(requests)):
        cell = requests.cell(position)
        known = smallest.get((cell.signature, cell.method))
        if known is None or cell.batch_size < requests.cell(known).batch_size:
            smallest[cell.signature, cell.method] = position
    return [requests[position] for position in smallest.values()]
