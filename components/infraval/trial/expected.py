"""Sends requests of which the responses are known, and compares what is answered with these."""

from __future__ import annotations

import threading
from collections import Counter

from infraval import evidence, options
from infraval.requests import expected
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import boot, comparison, replay


class Study:
    """A `boot.Study` that keeps `found`."""

    def __init__(self, known: expected.Expected, tolerance: float | None, booter: boot.Booter) -> None:
        self.found: evidence.Expected | None = None
        self._known = known
        self._tolerance = tolerance
        self._booter = booter

    def __call__(self, serving: boot.Serving) -> None:
        """Sends them as the other requests were sent."""
        requests = replay.OfLogs(self._known.logs)
        self._booter.progress(f"Comparing with {len(requests)} expected responses")
        serving.times.begin("expected")
        comparer = _Comparer(self._tolerance)
        outcomes = replay.replay(
            requests,
            serving.connection,
            self._booter.redactor,
            self._booter.limits,
            lambda: serving.sandbox.poll() is not None,
            comparer,
        )
        self._booter.check_aborted()
        errors = Counter(
            (outcome.cell.signature, outcome.cell.method, outcome.code, outcome.message)
            for outcome in outcomes
            if not outcome.ok
        )
        self.found = evidence.Expected(
            records=len(requests),
            is_part=self._known.is_part,
            answered=sum(outcome.ok for outcome in outcomes),
            equal=comparer.equal,
            compared=comparer.compared,
            unanswered=tuple(evidence.Unanswered(*key, requests=count) for key, count in errors.items()),
        )


class _Comparer:
    """Takes the answers, from any thread, and keeps only how they differ from what was expected."""

    def __init__(self, tolerance: float | None) -> None:
        self.equal = 0
        self.compared: tuple[evidence.Compared, ...] = ()
        self._tolerance = tolerance
        self._lock = threading.Lock()

    def add(self, _index: int, cell: options.Cell, log: prediction_log_pb2.PredictionLog, content: bytes) -> None:
        """Compares the answer to a request with the response in its log."""
        response = getattr(log, f"{cell.method.value}_log").response.SerializeToString()
        found = comparison.compare(cell, content, response, self._tolerance)
        with self._lock:
            self.compared = comparison.total((*self.compared, *found))
            self.equal += not any(each.responses_differing for each in found)
