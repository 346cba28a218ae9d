"""Boots a staged model, as often as it takes, and sends it the requests."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options, redaction, verdict
from infraval.gates import load
from infraval.sandbox import base, model_server, serving_log
from infraval.sandbox import registry as factory
from infraval.trial import client
from infraval.trial import replay as replayer

_LOST = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"})
"""Codes that a request may end with when the server does."""

_END_TIMEOUT_S = 2.0


@dataclasses.dataclass(frozen=True)
class Boot:
    """What came of booting the staged model.

    Attributes:
      server: which server it was.
      failure: why the model was not served; None if it was.
      load_time_s: seconds until it was AVAILABLE.
      records_replayed: warmup records that the server says it replayed.
      outcomes: of the requests.
      death: how the server ended while it answered; None if it did not.
      latencies: by cell, if they were asked for.
      server_log: the last lines of the server's log, redacted, if it crashed or was not ready in time; else empty.
    """

    server: base.ServerIdentity
    failure: load.Refused | load.Crashed | load.Late | None = None
    load_time_s: float | None = None
    records_replayed: int | None = None
    outcomes: tuple[verdict.Outcome, ...] = ()
    death: str | None = None
    latencies: tuple[verdict.Latency, ...] = ()
    server_log: str = ""

    @property
    def definite(self) -> bool:
        """Whether another try would come to the same."""
        return self.death is None and (self.failure is None or isinstance(self.failure, load.Refused))


class Booter:
    """Boots one staged model.

    Args:
      serving: the server under test; with one image at most.
      validation: limits.
      launch: what to boot.
      directory: where the sandboxes have their own directories; private and short.
      redactor: every text of the server passes it.
      progress: is told what happens.
    """

    def __init__(
        self,
        serving: options.ServingSpec,
        validation: options.ValidationSpec,
        launch: base.Launch,
        directory: Path,
        redactor: redaction.Redactor,
        progress: Callable[[str], None],
    ) -> None:
        self._serving = serving
        self._validation = validation
        self._launch = launch
        self._directory = directory
        self._redactor = redactor
        self._progress = progress
        self._boots = 0
        self._aborted = threading.Event()
        self._connection: client.Client | None = None

    def abort(self) -> None:
        """Ends a boot that is under way in another thread soon, with AbortedError there."""
        self._aborted.set()
        if self._connection is not None:
            self._connection.close()

    def boot_until_definite(
        self,
        logs: Sequence[prediction_log_pb2.PredictionLog],
        *,
        measure: bool = False,
        model_base_path: Path | None = None,
    ) -> tuple[Boot, int]:
        """Boots the model and sends the requests, again if the server is lost, crashes or takes too long.

        Args:
          logs: the requests.
          measure: time the first requests, one at a time, before all of them are sent.
          model_base_path: takes the place of the one in the options.

        Returns:
          The last boot, and the number of tries.

        Raises:
          SandboxError: the last try came to no result, for a reason that is not the model's.
          UnregisteredOpError: the embedded server cannot judge this model.
          AbortedError: `abort` was called.
        """
        launch = self._launch
        if model_base_path is not None:
            launch = dataclasses.replace(launch, model_base_path=model_base_path)
        most = self._validation.num_tries
        for tries in range(1, most):
            try:
                boot = self._boot(launch, logs, tries, measure=measure)
            except errors.ServerLostError as error:
                self._progress(f"Try {tries} of {most} came to no result. {error}")
                continue
            if boot.definite:
                return boot, tries
            self._progress(f"Try {tries} of {most} failed, trying again")
        return self._boot(launch, logs, most, measure=measure), most

    def _boot(
        self,
        launch: base.Launch,
        logs: Sequence[prediction_log_pb2.PredictionLog],
        tries: int,
        *,
        measure: bool,
    ) -> Boot:
        self._boots += 1
        started = time.monotonic()
        with (
            factory.create(self._serving, launch, self._directory / f"boot{self._boots}") as sandbox,
            client.Client(sandbox.endpoint.target, self._serving.model_name) as connection,
        ):
            self._connection = connection
            server = sandbox.identity
            self._progress(f"Booting {server.name} ({server.version})")
            limit_s = self._validation.max_loading_time_s
            try:
                ended = base.wait_until(lambda: self._available(connection), sandbox, started + limit_s)
            except TimeoutError:
                return Boot(server, failure=load.Late(limit_s, tries), server_log=self._redactor.log(sandbox.log()))
            if ended is not None:
                return self._failed_load(sandbox, ended, tries)
            load_time_s = time.monotonic() - started
            replayed = serving_log.warmup_records_read(sandbox.log())
            self._progress(f"AVAILABLE after {load_time_s:.1f} s, warmup records replayed: {replayed or 0}")
            self._check_aborted()
            latencies = replayer.measure(logs, connection, self._validation) if measure else ()
            if logs:
                self._progress(f"Sending requests: {len(logs)}")
            outcomes = replayer.replay(
                logs, connection, self._redactor, self._validation, stopped=lambda: sandbox.poll() is not None
            )
            self._check_aborted()
            ended = _end_of(sandbox, outcomes)
            log = sandbox.log()
            if server.embedded and ended is not None and ended.code == model_server.EMBEDDED_EXIT_BUG:
                raise errors.SandboxError(
                    f"The {server.name} failed at a request, which is a bug of infraval's: please report it. "
                    f"{self._last_words(log)}"
                )
            if ended is None:
                return Boot(server, None, load_time_s, replayed, outcomes, latencies=latencies)
            _check_ops(log, ended, server)
            death = self._death(ended, server, log)
            return Boot(server, None, load_time_s, replayed, outcomes, death, latencies, self._redactor.log(log))

    def _available(self, connection: client.Client) -> bool:
        self._check_aborted()
        return connection.available()

    def _check_aborted(self) -> None:
        if self._aborted.is_set():
            raise errors.AbortedError("Another image could not judge, so this one was stopped.")

    def _failed_load(self, sandbox: base.Sandbox, ended: base.ServerExit, tries: int) -> Boot:
        """What a server that ended while loading says about the model; raises if it says nothing about it."""
        log, server = sandbox.log(), sandbox.identity
        _check_ops(log, ended, server)
        refusal = serving_log.refusal(log)
        if refusal is not None:
            return Boot(server, failure=load.Refused(refusal.code, self._redactor.message(refusal.message)))
        if ended.signal is not None or ended.out_of_memory:
            crashed = load.Crashed(self._death(ended, server, log), tries)
            return Boot(server, failure=crashed, server_log=self._redactor.log(log))
        raise errors.ServerStartError(
            f"{server.name} ended with exit code {ended.code} before it loaded the model, for a reason of its own. "
            f"{self._last_words(log)}"
        )

    def _last_words(self, log: str) -> str:
        words = self._redactor.log(log)
        return f"Its last words:\n{words}" if words else "It wrote nothing."

    def _death(self, ended: base.ServerExit, server: base.ServerIdentity, log: str) -> str:
        """What the server died of; raises if that is not the model's doing."""
        limit = self._serving.docker.memory_bytes
        if ended.out_of_memory and limit:
            # Asked for, so production has no more either.
            return f"its memory limit of {limit} bytes (memory_bytes)"
        if ended.out_of_memory:
            raise errors.ServerLostError(
                f"{server.name} was killed for using up the memory of the engine's machine. Free some, or validate on "
                "a larger one; --memory (DockerSpec.memory_bytes) makes a limit part of what is judged. "
                f"{self._last_words(log)}"
            )
        if ended.signal is None:
            return f"exit code {ended.code}"
        if ended.signal == signal.SIGKILL:
            raise errors.ServerLostError(
                f"{server.name} was killed from outside (SIGKILL); most often the machine ran out of memory. Free "
                f"some, or validate on a larger machine. {self._last_words(log)}"
            )
        return signal.Signals(ended.signal).name


def _check_ops(log: str, ended: base.ServerExit, server: base.ServerIdentity) -> None:
    """Sees that it was not a limit of the embedded server's own which ended it."""
    if not server.embedded or ended.code != model_server.EMBEDDED_EXIT_UNREGISTERED_OP:
        return
    op = serving_log.unregistered_op(log) or "(its name is no longer in the log)"
    if server.image:
        raise errors.UnregisteredOpError(
            f"The model uses the op {op}, which the embedded server in {server.image} does not have. Name an image "
            "with a tensorflow_model_server that has it."
        )
    raise errors.UnregisteredOpError(
        f"The model uses the op {op}, which the embedded server does not have. Name the Python module that "
        "registers it with --import-ops MODULE (ProcessSpec.import_ops), or validate with a tensorflow_model_server "
        "that has it."
    )


def _end_of(sandbox: base.Sandbox, outcomes: Sequence[verdict.Outcome]) -> base.ServerExit | None:
    """How the server ended while it answered, None if it did not.

    A server's end reaches its connections before it reaches the process table, so such errors are followed up.
    """
    if all(outcome.code not in _LOST for outcome in outcomes):
        return sandbox.poll()
    try:
        return base.wait_until(lambda: False, sandbox, time.monotonic() + _END_TIMEOUT_S)
    except TimeoutError:
        return None
