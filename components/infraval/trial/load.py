"""Puts a server under load and times the requests, until the gate `latency` can decide.

In an open loop, requests are due at times that do not depend on the server, and each is timed from when it was due: a
server that stalls delays all that are due meanwhile, and they count (a client that waits for the server before it sends
the next request would not see that: coordinated omission). In a closed loop, the next request is sent when one is
answered.

One thread sends and counts; gRPC's own thread only notes when an answer came. Measured on a busy machine of two cores,
a request costs 0.4 ms of processor time this way, and 0.5 ms with grpc.aio.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from infraval import evidence, options, percentile_bars
from infraval.trial import blame, boot, replay, sending, tallies

_BLOCK_S, _BLOCK_REQUESTS = 0.25, 20
"""How long one of two servers gets requests until it is the other one's turn, and how many at least in an open loop."""

_MOST_AT_ONCE = 1000
"""For how many requests at the same time a server gets threads, at most, in an open loop."""

_Found: TypeAlias = tuple[evidence.Load, tuple[int, str] | None]
"""What a server did, and the position and message, unredacted, of the first request that failed."""


def at_once(asked: options.LatencyGate) -> int:
    """Requests that a server must be able to take at the same time: in an open loop, those that are due in a second."""
    return (asked.concurrency or 1) if asked.rate is None else threads_for(asked.rate)


def threads_for(rate: float) -> int:
    """The same for an open loop."""
    return min(math.ceil(rate), _MOST_AT_ONCE)


class Study:
    """A `boot.Study` that puts a server under the load that the gate's options say, and keeps `found`.

    With a baseline, it does so in `beside`, to both servers.

    Args:
      job: the load and the bars, and the seed of the times at which requests are due.
      booter: of the server.
      compares: whether there is a baseline to compare with.
    """

    def __init__(self, job: options.Job, booter: boot.Booter, *, compares: bool = False) -> None:
        self.found: evidence.Load | None = None
        self._asked = job.gates.latency
        self._seed = job.warmup.seed
        self._booter = booter
        self._compares = compares and bool(self._asked.ratios)
        self._beside: _Found | None = None

    def __call__(self, serving: boot.Serving) -> None:
        """Studies one server; if there is a baseline to compare with, `beside` has already put both under load.

        Raises:
          ServerLostError: it was killed from outside.
        """
        self.found = None
        found = self._beside
        if not self._compares and self._asked.bars:
            found = self._put(serving)
        if found is None:
            return
        shown, failure = found
        cell = serving.requests.cell(0)
        outcomes = [evidence.Outcome(cell, code, "", 0.0) for code in shown.errors]
        death = blame.death_while_serving(
            serving.sandbox, outcomes, self._booter.redactor, serving.connection.available
        )
        message = ""
        if failure is not None:
            position, text = failure
            message = self._booter.redactor.message(text, serving.requests[position][1])
        self.found = dataclasses.replace(shown, message=message, death=death)

    def beside(self, serving: boot.Serving, other: boot.Serving, answered: Collection[options.Cell]) -> None:
        """Puts both servers under load in turn, if they are to be compared; the other has answered only some cells."""
        self._beside = self._put(serving, Other(other.connection, answered)) if self._compares else None

    def _put(self, serving: boot.Serving, other: Other | None = None) -> _Found | None:
        """What the servers did; None without requests."""
        if not len(serving.requests):
            return None
        rate = f"{self._asked.rate:g} requests/s" if self._asked.rate else f"concurrency {self._asked.concurrency or 1}"
        both = " for the model and the baseline in turn" if other else ""
        self._booter.progress(f"Load: {rate}{both}, for up to {self._asked.budget_s:g} s")

        def stopped() -> bool:
            self._booter.check_aborted()
            return serving.sandbox.poll() is not None

        found = put(
            serving.requests,
            serving.connection,
            self._asked,
            self._booter.limits.request_timeout_s,
            self._seed,
            stopped,
            other,
            lambda: serving.times.begin("under load"),
        )
        self._booter.check_aborted()
        return found


@dataclasses.dataclass(frozen=True)
class Other:
    """A server to compare with.

    Attributes:
      connection: to it.
      answers: the cells of which it has answered a request; it gets no other ones.
    """

    connection: sending.Connection
    answers: Collection[options.Cell]


def put(
    requests: replay.Requests,
    connection: sending.Connection,
    asked: options.LatencyGate,
    timeout_s: float,
    seed: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    other: Other | None = None,
    begins: Callable[[], float | None] = lambda: None,
) -> _Found:
    """Puts a server under load until each bar is decided, a request fails, `stopped` says so or the budget is used up.

    The other server gets the same load in turn, in blocks so short that whatever slows the machine down slows both. A
    ratio above its bar is only decided at the end, because it takes more than a moment to slow a server down. `begins`
    is called when the load does, once the requests are ready to be sent, and says when that is: `Load.start_s`.

    Returns:
      What the server did, and the position and message, unredacted, of the first request that failed.
    """
    ready, cells, left_out = sending.prepare(requests, connection)
    start_s = begins()
    begin_s = time.perf_counter()
    rng = random.Random(seed)  # noqa: S311 - times of arrival, not a secret

    def sender_to(
        server: sending.Connection, ready: Sequence[sending.Ready], cells: Sequence[options.Cell]
    ) -> sending.Sender:
        counts = tallies.Counts(cells, asked, begin_s)
        return sending.Sender(ready, server, asked, timeout_s, rng, stopped, counts)

    sender, end_s = sender_to(connection, ready, cells), begin_s + asked.budget_s
    rival = None
    if other is not None:
        theirs, their_cells, _ = sending.prepare(requests, other.connection, other.answers)
        rival = sender_to(other.connection, theirs, their_cells) if theirs else None
    with sending.short_collections():
        if rival is None:
            _alone(sender, end_s)
        else:
            _in_turn(sender, rival, asked, end_s)
    found = dataclasses.replace(sender.found(left_out), start_s=start_s)
    if other is not None:
        beside = rival.found(len(cells) - len(their_cells)) if rival else evidence.Load(evidence.Latencies(None))
        found = dataclasses.replace(found, baseline=beside)
    return found, sender.counts.failure


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of each request of a load.

    Attributes:
      ended: those that ended, in that order.
      dropped: how many were not sent, because too many were in flight.
      cells: how many there were with requests that could be sent.
    """

    ended: Sequence[tallies.Ended]
    dropped: int
    cells: int


def keep_up(
    requests: replay.Requests,
    connection: sending.Connection,
    rate: float,
    timeout_s: float,
    only: Collection[options.Cell],
    is_done: Callable[[], bool],
    stopped: Callable[[], bool],
) -> Kept:
    """Sends requests of some cells at a rate until `is_done`, whether they fail or not, and waits for the last ones.

    With `stopped` it ends at once. There must be a request of these cells.
    """
    asked = options.LatencyGate(enabled=False, rate=rate, arrivals="constant")
    ready, cells, _ = sending.prepare(requests, connection, only)
    counts, draining = _Kept(cells, asked), False

    def is_over() -> bool:
        return stopped() or (is_done() and not draining)

    sender = sending.Sender(ready, connection, asked, timeout_s, random.Random(0), is_over, counts)  # noqa: S311 - not used
    with sending.short_collections():
        sender.send_until(math.inf, looks=False)
        sender.is_over, draining = False, True
        sender.drain()
    return Kept(tuple(counts.ended), sender.dropped, len(cells))


def _alone(sender: sending.Sender, end_s: float) -> None:
    """Sends until there is nothing more to learn, or the budget is used up."""
    while not sender.is_over:
        sender.send_until(end_s)
        if time.perf_counter() >= end_s or sender.counts.decided():
            return


def _in_turn(sender: sending.Sender, rival: sending.Sender, asked: options.LatencyGate, end_s: float) -> None:
    """The same with a rival."""
    block_s = max(_BLOCK_S, _BLOCK_REQUESTS / asked.rate if asked.rate else 0.0)
    needed = max(percentile_bars.least_for_interval(percentile / 100) for percentile, _ in asked.ratios)
    looks = tallies.Looks(needed)
    turn = (sender, rival)
    while not sender.is_over and (asked.bars or not rival.is_over):
        for each in turn:
            if not each.is_over:
                each.send_until(min(end_s, time.perf_counter() + block_s), looks=False)
        turn = turn[::-1]
        if time.perf_counter() >= end_s:
            return
        requests = min(sender.counts.requests, rival.counts.requests)
        if looks.due(requests) and _is_close(sender.counts, rival.counts, asked) and sender.counts.decided():
            return


def _is_close(counts: tallies.Counts, others: tallies.Counts, asked: options.LatencyGate) -> bool:
    """Whether each ratio is below its bar."""
    theirs = {tally.cell: tally for tally in others.judged}
    return all(
        percentile_bars.decide_ratio(one, other, bar) is percentile_bars.Decision.BELOW
        for tally in counts.judged
        if tally.cell in theirs
        for percentile, bar in asked.ratios
        for one, other in tally.beside(theirs[tally.cell], percentile)
    )


class _Kept(tallies.Counts):
    """Keeps what became of each request; none that fails ends the load."""

    def __init__(self, cells: Sequence[options.Cell], asked: options.LatencyGate) -> None:
        super().__init__(cells, asked, begin_s=0.0)
        self.ended: list[tallies.Ended] = []

    def add(self, ended: tallies.Ended) -> None:
        """Adds a request that ended."""
        self.ended.append(ended)
