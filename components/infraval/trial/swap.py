"""Rehearses what a push does in production: a server under load gets the model as a higher version of the baseline."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent import futures
from pathlib import Path
from typing import Any

from infraval import errors, evidence, options
from infraval.staging import model as staging
from infraval.tensorflow_protos import get_model_status_pb2, prediction_log_pb2
from infraval.trial import blame, boot, client, load, replay

_POLLS = "--file_system_poll_wait_seconds=1"
"""TensorFlow Serving's default. What production sets would only say how long the server does not look."""

_POLL_S = 0.05
"""How often to ask for the versions and the memory."""

_AFTER_S = 2.0
"""How long requests still count once the baseline is unloaded: first requests to the model may be slow."""

_UNLOAD_TIMEOUT_S = 30.0

_END, _AVAILABLE = get_model_status_pb2.ModelVersionStatus.END, get_model_status_pb2.ModelVersionStatus.AVAILABLE


def rehearse(
    job: options.Job,
    candidate: staging.StagedModel,
    baseline: staging.StagedModel,
    requests: replay.Requests,
    booter: boot.Booter,
) -> evidence.Swap:
    """Boots the baseline, puts it under load, and lets the model appear beside it.

    Raises:
      InputError: the baseline is not served, or answers no request.
      SandboxError: the server is lost, and the model is not known to be the cause.
    """
    number = max(2, job.server.model_version or 2)
    base_path = booter.directory / "swapped"
    hidden = staging.to_swap(baseline, candidate, base_path, number - 1)
    other = booter.beside(base_path, "swap")
    # Requests must ask for the latest version, so that they move to the new one.
    arguments = (*booter.server.server_arguments, _POLLS)
    other.server = booter.server.model_copy(
        update={"model_version": None, "version_label": "", "server_arguments": arguments}
    )
    booter.progress(f"Rehearsing the swap: {job.gates.swap.rate:g} requests/s to the baseline")
    study = Study(job.gates.swap, other, hidden, number)
    booted, _ = other.boot_until_definite(requests, replayed=False, studies=[study])
    if study.found is None:
        failure = booted.failure
        why = f" ({failure.code}: {failure.message})" if isinstance(failure, evidence.Refused) else ""
        raise errors.InputError(
            f"The swap cannot be rehearsed, because the server does not serve the baseline{why}. Set --baseline "
            "(baseline) to a model that it serves, or drop the gate swap.",
            code="input/baseline",
        )
    return study.found


@dataclasses.dataclass
class _Watch:
    """Lets the model appear in a thread of its own, and sees what becomes of it and of the baseline.

    Attributes:
      serving: the server.
      to_model: asks for the model's version.
      log: a request that the baseline answers.
      booter: of the server.
      ended: ends the watch.
      appeared_s: when the model appeared, as the other times in seconds of `time.perf_counter`.
      answered_s: when it first answered.
      unloaded_s: when the baseline was unloaded.
      waited_s: seconds from when the model appeared until nothing more was waited for.
      refused: why the server did not load the model.
      before_bytes: resident before the model appeared.
      peak_bytes: the most that was resident.
    """

    serving: boot.Serving
    to_model: client.Client
    log: prediction_log_pb2.PredictionLog
    booter: boot.Booter
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)
    appeared_s: float | None = None
    answered_s: float | None = None
    unloaded_s: float | None = None
    waited_s: float = 0.0
    refused: evidence.Refused | None = None
    before_bytes: int | None = None
    peak_bytes: int | None = None

    def run(self, before_s: float, hidden: Path, number: int) -> None:
        """Waits, makes the hidden model that version, and watches until all is over or `ended`."""
        if self.ended.wait(before_s):
            return
        memory = self._measure()
        self.before_bytes = None if memory is None else memory.resident_bytes
        hidden.rename(hidden.with_name(str(number)))
        self.appeared_s = time.perf_counter()
        answered_s = self._when(lambda: self._answers(number), self.booter.limits.max_loading_time_s)
        if self.refused is None and answered_s is not None:
            self.answered_s = answered_s
            self.unloaded_s = self._when(lambda: self._is_unloaded(number - 1), _UNLOAD_TIMEOUT_S)
        self.waited_s = time.perf_counter() - self.appeared_s
        self.ended.wait(_AFTER_S)
        self._measure()

    def _when(self, ready: Callable[[], bool], limit_s: float) -> float | None:
        """Waits until it is ready; None if it was not in time."""
        end_s = time.perf_counter() + limit_s
        while not self.ended.wait(_POLL_S):
            self._measure()
            if ready():
                return time.perf_counter()
            if time.perf_counter() >= end_s:
                break
        return None

    def _answers(self, number: int) -> bool:
        """Whether the model answers, or never will."""
        versions = self.serving.connection.versions() or ()
        for version in versions:
            if version.version == number and version.state == _END:
                self.refused = self._refusal(version.status)
                return True
            if version.version == number and version.state == _AVAILABLE:
                return self.to_model.send(self.log, self.booter.limits.request_timeout_s)[0] == evidence.OK
        return False

    def _is_unloaded(self, number: int) -> bool:
        versions = self.serving.connection.versions()
        # A server that does not answer says nothing.
        return versions is not None and all(version.version != number or version.state == _END for version in versions)

    def _measure(self) -> evidence.Memory | None:
        memory = self.serving.sandbox.memory()
        if memory is not None:
            self.peak_bytes = max(self.peak_bytes or 0, memory.resident_bytes, memory.peak_bytes or 0)
        return memory

    def _refusal(self, status: Any) -> evidence.Refused:
        """What a StatusProto says."""
        code = status.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_number.get(status.error_code)
        message = self.booter.redactor.message(status.error_message[: client.MAX_ERROR_LENGTH])
        return evidence.Refused(code.name if code else str(status.error_code), message)


class Study:
    """A `boot.Study` of a server that serves the baseline; keeps `found`.

    Args:
      asked: the load.
      booter: of the server.
      hidden: the model in the model base path, under a name that is not a version.
      number: its version, one more than the baseline's.
    """

    def __init__(self, asked: options.SwapGate, booter: boot.Booter, hidden: Path, number: int) -> None:
        self.found: evidence.Swap | None = None
        self._asked = asked
        self._booter = booter
        self._hidden = hidden
        self._number = number

    def __call__(self, serving: boot.Serving) -> None:
        """Puts the server under load, and swaps.

        Raises:
          InputError: the server answers no request.
          ServerLostError: it was killed from outside.
        """
        self.found = None
        requests, timeout_s = serving.requests, self._booter.limits.request_timeout_s
        answered, cell_count = self._answered(serving)
        if not answered:
            raise errors.InputError(
                "The swap cannot be rehearsed, because the baseline answers no request of the model's. Set --baseline "
                "(baseline) to a model with the same signatures, or drop the gate swap.",
                code="input/baseline",
            )

        def stopped() -> bool:
            self._booter.check_aborted()
            return serving.sandbox.poll() is not None

        log = requests[next(iter(answered.values()))][1]
        name = self._booter.launch.model_name
        try:
            with (
                client.Client(serving.sandbox.target, name, self._number) as to_model,
                futures.ThreadPoolExecutor(1, thread_name_prefix="swap") as pool,
            ):
                watch = _Watch(serving, to_model, log, self._booter)
                watching = pool.submit(watch.run, self._asked.before_s, self._hidden, self._number)
                try:
                    kept = load.keep_up(
                        requests, serving.connection, self._asked.rate, timeout_s, answered, watching.done, stopped
                    )
                finally:
                    watch.ended.set()
                    to_model.close()
                watching.result()
        finally:
            # The server may be lost, and booted again with the baseline alone.
            path = self._hidden.with_name(str(self._number))
            if path.exists():
                path.rename(self._hidden)
        self.found = self._judged(serving, kept, watch, cell_count - kept.cells)

    def _answered(self, serving: boot.Serving) -> tuple[dict[options.Cell, int], int]:
        """The position of a request of each cell that the baseline answers, which warms it up; and how many cells."""
        positions, count = replay.firsts_before_others(serving.requests)
        found = {}
        for position in positions[:count]:
            self._booter.check_aborted()
            cell, log = serving.requests[position]
            if serving.connection.send(log, self._booter.limits.request_timeout_s)[0] == evidence.OK:
                found[cell] = position
        return found, count

    def _judged(self, serving: boot.Serving, kept: load.Kept, seen: _Watch, left_out: int) -> evidence.Swap:
        appeared_s = math.inf if seen.appeared_s is None else seen.appeared_s
        before = [each for each in kept.ended if each.due_s < appeared_s]
        during = [each for each in kept.ended if each.due_s >= appeared_s]
        # A request that was due before may have been in flight when the model appeared.
        failed = [each for each in kept.ended if each.code != evidence.OK]
        early = [each for each in failed if each.ended_s < appeared_s]
        late = [each for each in failed if each.ended_s >= appeared_s]
        outcomes = [evidence.Outcome(serving.requests.cell(each.position), each.code, "", 0.0) for each in failed]
        death = blame.death_while_serving(
            serving.sandbox, outcomes, self._booter.redactor, serving.connection.available
        )
        if seen.appeared_s is None:
            raise errors.SandboxError(
                f"The server of the baseline died under load, before the model appeared beside it ({death}). Lower "
                "--gate swap.rate (gates.swap.rate), or drop the gate swap."
            )
        message = ""
        if late:
            message = self._booter.redactor.message(late[0].message, serving.requests[late[0].position][1])
        return evidence.Swap(
            rate=self._asked.rate,
            before=latencies([each.ended_s - each.due_s for each in before if each.code == evidence.OK]),
            during=latencies([each.ended_s - each.due_s for each in during if each.code == evidence.OK]),
            during_p99_since_sent_s=latencies(
                [each.ended_s - each.sent_s for each in during if each.code == evidence.OK]
            ).p99_s,
            failed_before=len(early),
            errors=dict(Counter(each.code for each in late)),
            message=message,
            dropped=kept.dropped,
            cells_left_out=left_out,
            answered_s=None if seen.answered_s is None else seen.answered_s - appeared_s,
            unloaded_s=None
            if seen.unloaded_s is None or seen.answered_s is None
            else seen.unloaded_s - seen.answered_s,
            waited_s=seen.waited_s,
            refused=seen.refused,
            death=death,
            before_bytes=seen.before_bytes,
            peak_bytes=seen.peak_bytes,
        )


def latencies(seconds: Collection[float]) -> evidence.Latencies:
    """Their percentiles by nearest rank; but one slow request alone never is the 99th."""
    ordered = sorted(seconds)
    if not ordered:
        return evidence.Latencies(None)
    count = len(ordered)

    def at(share: float) -> float:
        return ordered[math.ceil(share * count) - 1]

    p99_s = ordered[max(0, min(math.ceil(0.99 * count) - 1, count - 2))]
    return evidence.Latencies(None, count, at(0.5), at(0.9), p99_s, ordered[-1])
