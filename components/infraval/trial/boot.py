"""Boots a staged model, as often as necessary, and sends it the requests."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeAlias

from infraval import errors, evidence, options, redaction
from infraval import progress as telling
from infraval.sandbox import base, registry, serving_log
from infraval.trial import blame, client, counters, measure, replay, responses, timeline

_EMBEDDED_START_TIMEOUT_S = 300.0
"""How long the embedded server may take to import TensorFlow."""


@dataclasses.dataclass(frozen=True)
class Ahead:
    """A sandbox whose server already starts, and what it is to load."""

    launch: base.Launch
    sandbox: base.Sandbox


@dataclasses.dataclass(frozen=True)
class Serving:
    """A server that serves the model and has answered every request, for a closer look at it.

    Attributes:
      connection: to it.
      sandbox: that it runs in.
      requests: what was sent.
      times: gets the phases of a study.
    """

    connection: client.Client
    sandbox: base.Sandbox
    requests: replay.Requests
    times: timeline.Recorder = dataclasses.field(default_factory=timeline.Recorder)


Study: TypeAlias = Callable[[Serving], None]
"""A closer look at a server; keeps what it finds. It may take long, so it calls `check_aborted` of the Booter."""


@dataclasses.dataclass
class Booter:
    """Boots one model on one server, repeatedly if necessary; the first boot takes the sandbox of `ahead` if it can.

    The sandboxes have their own directories in `directory`, which must be private and short. The redactor redacts every
    message of the server. `seed` decides which answers are kept if there are too many.
    """

    server: options.ServerOptions
    limits: options.Limits
    launch: base.Launch
    directory: Path
    redactor: redaction.Redactor
    progress: Callable[[str], None]
    seed: int = 0
    ahead: Ahead | None = None
    _boots: int = dataclasses.field(default=0, init=False)
    _aborted: threading.Event = dataclasses.field(default_factory=threading.Event, init=False)
    _connection: client.Client | None = dataclasses.field(default=None, init=False)

    def abort(self) -> None:
        """Soon ends a boot that is running in another thread, with AbortedError there."""
        self._aborted.set()
        if self._connection is not None:
            self._connection.close()

    def beside(self, base_path: Path, name: str) -> Booter:
        """A booter of another model on the same kind of server, which `abort` of this one ends too.

        Its sandboxes are in a directory of that name in this one's.
        """
        directory = self.directory / name
        directory.mkdir(mode=0o700, exist_ok=True)
        launch = dataclasses.replace(self.launch, model_base_path=base_path)
        other = Booter(self.server, self.limits, launch, directory, self.redactor, self.progress, self.seed)
        other._aborted = self._aborted
        return other

    def boot_until_definite(
        self,
        requests: replay.Requests,
        *,
        measured: bool = False,
        repeated: Collection[options.Cell] | None = None,
        replayed: bool = True,
        studies: Sequence[Study] = (),
        model_base_path: Path | None = None,
    ) -> tuple[evidence.Boot, int]:
        """Boots the model and sends the requests; tries again if the server is lost, crashes or takes too long.

        Args:
          requests: what to send.
          measured: time the first requests, one at a time, before all of them are sent.
          repeated: the cells whose steady latency is measured as well; by default all.
          replayed: send all the requests.
          studies: called one after the other if all that was sent was answered.
          model_base_path: replaces the one in `launch`.

        Returns:
          The last boot, and the number of tries.

        Raises:
          SandboxError: the last try had no result, and the model is not the cause.
          UnregisteredOpError: the embedded server cannot judge this model.
          AbortedError: `abort` was called.
        """
        launch = self.launch
        if model_base_path is not None:
            launch = dataclasses.replace(launch, model_base_path=model_base_path)
        most = self.limits.num_tries
        try_once = functools.partial(self._boot, launch, requests, measured, repeated, replayed, studies)
        for tries in range(1, most):
            try:
                boot = try_once()
            except errors.ServerLostError as error:
                self.progress(f"Try {tries} of {most} had no result. {error.args[0]}")
                continue
            if boot.definite:
                return boot, tries
            self.progress(f"Try {tries} of {most} failed, trying again")
        return try_once(), most

    def _boot(
        self,
        launch: base.Launch,
        requests: replay.Requests,
        measured: bool,
        repeated: Collection[options.Cell] | None,
        replayed: bool,
        studies: Sequence[Study],
    ) -> evidence.Boot:
        self._boots += 1
        if not measured:
            launch = dataclasses.replace(launch, metrics=False)
        if self.ahead is not None and self.ahead.launch == launch:
            created, self.ahead = self.ahead.sandbox, None
        else:
            created = registry.platform(self.server).create(self.server, launch, self.directory / f"boot{self._boots}")
        with (
            created as sandbox,
            client.Client(
                sandbox.target, self.server.model_name, self.server.model_version, self.server.version_label
            ) as connection,
            contextlib.ExitStack() as on_leaving,
        ):
            self._connection = connection
            server = sandbox.identity
            self.progress(f"Booting {server.name} ({server.version})")
            started_s, ended = sandbox.started_s, None
            if server.embedded:
                started_s, ended = self._begin_to_load(sandbox)
                server = dataclasses.replace(server, ignored_flags=serving_log.ignored_flags(sandbox.log()))
            if server.ignored_flags:
                self.progress(f"Flags without effect on the embedded server: {' '.join(server.ignored_flags)}")
            times = timeline.Recorder(started_s, time.monotonic)
            if replayed:
                on_leaving.enter_context(times.watching(sandbox.memory))
            failure = self._loaded(connection, sandbox, started_s, ended)
            if failure is not None:
                log = "" if isinstance(failure, evidence.Refused) else self.redactor.log(sandbox.log())
                return evidence.Boot(server, failure, server_log=log, timeline=times.found())
            load_time_s = times.begin("first requests" if measured else "requests")
            log = sandbox.log()
            warmup_s, records = serving_log.warmup_seconds(log), serving_log.warmup_records_read(log)
            self.progress(f"AVAILABLE after {load_time_s:.1f} s, warmup records replayed: {records or 0}")
            self.check_aborted()
            memory = sandbox.memory()
            timeout_s = self.limits.request_timeout_s
            count = functools.partial(counters.read, sandbox)
            counted = count() if measured else None
            now_s = times.now_s
            latencies = measure.measure(requests, connection, timeout_s, repeated, count, now_s) if measured else ()
            times.begin("requests")
            sent = requests if replayed else replay.OfLogs(())
            keeper = responses.Keeper(self.limits.response_memory_bytes, self.seed)
            if len(sent):
                self.progress(f"Sending requests: {len(sent)}")
            outcomes = replay.replay(
                sent,
                connection,
                self.redactor,
                self.limits,
                lambda: sandbox.poll() is not None,
                keeper,
                now_s,
                done=telling.Counter(self.progress, "Sending requests", len(sent)).add,
            )
            self.check_aborted()
            death = blame.death_while_serving(sandbox, outcomes, self.redactor, connection.available)
            boot = evidence.Boot(
                server,
                load_time_s=load_time_s,
                records_replayed=records,
                outcomes=outcomes,
                responses=keeper.kept(),
                death=death,
                latencies=latencies,
                memory=memory,
                counters=counted,
                server_log=self.redactor.log(sandbox.log()) if death else "",
            )
            for study in studies if boot.answered_all else ():
                study(Serving(connection, sandbox, requests, times))
            return dataclasses.replace(boot, timeline=times.found(warmup_s))

    def _loaded(
        self, connection: client.Client, sandbox: base.Sandbox, started_s: float, ended: base.ServerExit | None
    ) -> evidence.Refused | evidence.Crashed | evidence.Late | None:
        """Waits until the model is AVAILABLE, unless the server has ended; returns why it is not served."""
        limit_s = self.limits.max_loading_time_s
        late = None
        try:
            ended = ended or self._wait_until(connection.available, sandbox, started_s + limit_s)
        except TimeoutError:
            late = evidence.Late(limit_s)
        self._check_arguments(sandbox)
        return late if ended is None else blame.failed_load(sandbox, ended, self.redactor)

    def _begin_to_load(self, sandbox: base.Sandbox) -> tuple[float, base.ServerExit | None]:
        """Waits until the embedded server has imported TensorFlow, for which the model is not to blame.

        Returns:
          When it began to load the model, in seconds of `time.monotonic`, and how it ended if it ended before.
        """
        deadline_s = sandbox.started_s + _EMBEDDED_START_TIMEOUT_S
        try:
            ended = self._wait_until(lambda: serving_log.begins_to_load(sandbox.log()), sandbox, deadline_s)
        except TimeoutError:
            raise errors.ServerLostError(
                f"{sandbox.identity.name} did not begin to load the model within {_EMBEDDED_START_TIMEOUT_S:.0f} s, so "
                "the model is not the cause. Free the machine, or see what --import-ops (server.import_ops) imports."
            ) from None
        return time.monotonic(), ended

    def _check_arguments(self, sandbox: base.Sandbox) -> None:
        """Checks that the server knew its arguments: TensorFlow Serving goes on if it did not."""
        unknown = serving_log.unknown_argument(sandbox.log())
        if unknown in self.server.server_arguments:
            raise errors.OptionError(
                f"{sandbox.identity.name} {sandbox.identity.version} does not know {unknown}. Correct or drop this "
                "--server-argument (server.server_arguments)."
            )

    def _wait_until(
        self, ready: Callable[[], bool], sandbox: base.Sandbox, deadline_s: float
    ) -> base.ServerExit | None:
        def checked() -> bool:
            self.check_aborted()
            return ready()

        return base.wait_until(checked, sandbox, deadline_s)

    def check_aborted(self) -> None:
        """Ends what runs in this thread if `abort` was called in another one.

        Raises:
          AbortedError: it was.
        """
        if self._aborted.is_set():
            raise errors.AbortedError("This server was stopped because another one could not judge the model.")
