"""Boots the model in production beside the one that is judged, and sends both the same requests in turn."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator

from infraval import errors, evidence, options
from infraval.staging import model as staging
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import boot, client, comparison, load, replay

_REQUESTS = 100
"""Requests of which the answers are compared; the first of each cell in any case."""

_PAIRS = 200
"""Most requests to time of a cell, on each server."""

_MIN_PAIRS_P90 = 20

_MORE_TIMES = 2
"""How often to time a cell again that is above a bar: a busy machine may slow one of two equal servers for seconds."""


class Study:
    """A `boot.Study` that keeps `found`.

    Args:
      job: its options of the gate.
      candidate: the model that is judged.
      baseline: the model to compare it with, staged as it is.
      booter: of the candidate.
      clock: seconds; times the requests.
      loading: puts both under load if a bar of the gate `latency` needs that.
    """

    def __init__(
        self,
        job: options.Job,
        candidate: staging.StagedModel,
        baseline: staging.StagedModel,
        booter: boot.Booter,
        clock: Callable[[], float] = time.perf_counter,
        loading: load.Study | None = None,
    ) -> None:
        self.found: evidence.Baseline | None = None
        self._bars = job.gates.baseline
        self._budget_s = job.gates.baseline.budget_s
        self._candidate = candidate
        self._baseline = baseline
        self._booter = booter
        self._loading = loading
        self._clock = clock

    def __call__(self, serving: boot.Serving) -> None:
        """Boots the baseline and compares.

        Raises:
          InputError: the baseline is not served, so there is nothing to compare with.
          SandboxError: its server is lost, and the baseline is not known to be the cause.
        """
        kept: list[evidence.Baseline] = []
        self._booter.progress("Booting the baseline beside the model")
        serving.times.begin("baseline")
        other = self._booter.beside(self._baseline.base_path, "baseline")

        def compare(beside: boot.Serving) -> None:
            kept.append(self._compare(serving, beside))

        try:
            booted, _ = other.boot_until_definite(serving.requests, replayed=False, studies=[compare])
        except errors.ServerLostError as error:
            # It was tried often enough: the model is not to be booted again for it.
            raise errors.SandboxError(f"The server of the baseline: {error}", code=error.code) from error
        if booted.load_time_s is None or not kept:
            failure = booted.failure
            why = f" ({failure.code}: {failure.message})" if isinstance(failure, evidence.Refused) else ""
            raise errors.InputError(
                f"The model cannot be compared with the baseline, because the server does not serve that one{why}. Set "
                "--baseline (baseline) to a model that it serves, or leave it out.",
                code="input/baseline",
            )
        self.found = dataclasses.replace(
            kept[-1], baseline_load_time_s=booted.load_time_s, baseline_memory=booted.memory
        )

    def _compare(self, serving: boot.Serving, beside: boot.Serving) -> evidence.Baseline:
        self._booter.progress("Sending requests to the model and to the baseline in turn")
        end = self._clock() + self._budget_s
        requests = serving.requests
        compared: list[evidence.Compared] = []
        unanswered: Counter[tuple[str, options.Method, str, str]] = Counter()
        both: dict[options.Cell, int] = {}
        sent = 0
        positions, cells = replay.firsts_before_others(requests)
        for number, position in enumerate(positions[: max(_REQUESTS, cells)]):
            if number >= cells and self._clock() > end - self._budget_s / 2:
                break
            cell, log = requests[position]
            _, answer = self._send(serving.connection, log)
            (code, message, _), other = self._send(beside.connection, log)
            sent += 1
            if other is None:
                unanswered[cell.signature, cell.method, code, self._booter.redactor.message(message, log)] += 1
            elif answer is not None:
                compared += comparison.compare(cell, answer, other)
                both.setdefault(cell, position)
        latencies: list[evidence.Beside] = []
        for number, position in enumerate(both.values()):
            share = self._clock() + max(0.0, end - self._clock()) / (len(both) - number)
            latencies += self._time(serving.connection, beside.connection, requests[position], share)
        for _ in range(_MORE_TIMES):
            for number, known in enumerate(latencies):
                if self._badness(known) > 1:
                    share = self._clock() + self._budget_s / (2 * len(both))
                    again = self._time(serving.connection, beside.connection, requests[both[known.cell]], share)
                    latencies[number] = min([known, *again], key=self._badness)
        if self._loading is not None:
            self._loading.beside(serving, beside, both)
        return evidence.Baseline(
            digest=self._baseline.digest,
            size_bytes=staging.size_bytes(self._candidate),
            baseline_size_bytes=staging.size_bytes(self._baseline),
            baseline_warmup_records=self._baseline.warmup.records,
            requests=sent,
            latencies=tuple(latencies),
            compared=comparison.total(compared),
            unanswered=tuple(evidence.Unanswered(*key, requests=count) for key, count in unanswered.items()),
        )

    def _badness(self, timed: evidence.Beside) -> float:
        """How many times the bars on latency a cell takes, the worse of them; 0 without any."""
        ratios = ((self._bars.p50_ratio, timed.p50_ratio), (self._bars.p90_ratio, timed.p90_ratio))
        known = [(bar, ratio) for bar, ratio in ratios if bar is not None and ratio is not None]
        return max((ratio / bar if bar else math.inf for bar, ratio in known), default=0.0)

    def _time(
        self, model: client.Client, baseline: client.Client, request: replay.Request, end: float
    ) -> Iterator[evidence.Beside]:
        """Times a request on both servers in turn, each one first every other time; nothing if one does not answer."""
        cell, log = request
        seconds: dict[client.Client, list[float]] = {model: [], baseline: []}
        for number in range(_PAIRS):
            if number and self._clock() > end:
                break
            pair = {}
            for each in (model, baseline) if number % 2 else (baseline, model):
                (code, _, pair[each]), _ = self._send(each, log)
                if code != evidence.OK:
                    return
            for each, taken in pair.items():
                seconds[each].append(taken)
        yield evidence.Beside(
            cell,
            len(seconds[model]),
            statistics.median(seconds[model]),
            statistics.median(seconds[baseline]),
            _p90(seconds[model]),
            _p90(seconds[baseline]),
        )

    def _send(
        self, connection: client.Client, log: prediction_log_pb2.PredictionLog
    ) -> tuple[tuple[str, str, float], bytes | None]:
        """Code, message and seconds of a request, and its answer."""
        self._booter.check_aborted()
        received: list[bytes] = []
        started = self._clock()
        code, message = connection.send(log, self._booter.limits.request_timeout_s, received.append)
        return (code, message, self._clock() - started), received[0] if code == evidence.OK else None


def _p90(seconds: list[float]) -> float | None:
    return statistics.quantiles(seconds, n=10)[-1] if len(seconds) >= _MIN_PAIRS_P90 else None
