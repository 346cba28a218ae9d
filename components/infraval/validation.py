"""The whole way: prepare, stage, boot, replay, judge, bless. The only module that sees every stage."""

from __future__ import annotations

import dataclasses
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, prediction_logs, redaction, spec, verdict, workspace
from infraval.bless import report, staging
from infraval.bless import warmup as warmup_file
from infraval.judge import load, responses, unchanged, warmup
from infraval.prepare import batching, builders, signatures
from infraval.replay import client, replayer
from infraval.sandbox import base, factory, serving_log

if TYPE_CHECKING:
    import apache_beam as beam

_log = logging.getLogger(__name__)

_VERSION = "1"


@dataclasses.dataclass(frozen=True)
class Job:
    """What to validate.

    Attributes:
      model: the SavedModel directory.
      examples: globs of TFRecord shards to build requests of; none means to load the model only.
      requests: which requests to build.
      make_warmup: whether the requests become the model's warmup file.
      warmup: what the warmup file covers.
      serving: the server under test.
      validation: limits.
      output: directory for the results; None for no results on disk.
    """

    model: Path
    examples: tuple[str, ...] = ()
    requests: spec.RequestSpec = spec.RequestSpec()
    make_warmup: bool = True
    warmup: spec.WarmupSpec = spec.WarmupSpec()
    serving: spec.ServingSpec = spec.ServingSpec()
    validation: spec.ValidationSpec = spec.ValidationSpec()
    output: Path | None = None


@dataclasses.dataclass(frozen=True)
class _Boot:
    """What came of booting the staged model.

    Attributes:
      server: which server it was.
      failure: why the model was not served; None if it was.
      load_time_s: seconds until it was AVAILABLE.
      records_replayed: warmup records that the server says it replayed.
      outcomes: of the requests.
      death: how the server ended while it answered; None if it did not.
    """

    server: base.ServerIdentity
    failure: load.Refused | load.Crashed | load.Late | None = None
    load_time_s: float | None = None
    records_replayed: int | None = None
    outcomes: tuple[verdict.Outcome, ...] = ()
    death: str | None = None

    @property
    def definite(self) -> bool:
        """Whether another try would come to the same."""
        return self.death is None and (self.failure is None or isinstance(self.failure, load.Refused))


def validate(
    job: Job,
    make_pipeline: Callable[[], beam.Pipeline] | None = None,
    progress: Callable[[str], None] = _log.info,
) -> verdict.Verdict:
    """Judges a model by really serving it, and publishes it with its warmup file if it passes.

    Args:
      job: what to validate.
      make_pipeline: makes the Beam pipeline that prepares the requests; by default one on the DirectRunner.
      progress: is told what happens, a sentence each.

    Returns:
      The verdict. With an `output`, it is also on disk: `report.json`, the marker, and for a blessed model
      `stamped_model`.

    Raises:
      InfravalError: the model could not be judged; the output then holds nothing.
    """
    targets = _targets(job)
    batch_sizes = batching.batch_sizes(job.warmup)
    if job.output is not None:
        staging.check_output(job.output)
    with workspace.workspace() as directory:
        logs, examples = [], None
        if targets:
            progress(f"Building requests for {', '.join(job.requests.signatures)}")
            logs, examples = _prepare(job, targets, batch_sizes, directory / "requests", make_pipeline)
        models = directory / "models"
        staged = models / _VERSION
        progress("Staging the model with its warmup file" if job.make_warmup and logs else "Staging the model")
        models.mkdir()
        staging.stage(job.model, staged)
        written = _write_warmup(job, staging.warmup_file(staged), logs)
        digest = staging.digest(staged)
        server = _Server(job, directory, models, redaction.Redactor(_vocabulary(staged), _names(job)), progress)
        boot, tries = server.boot_until_definite(logs)
        written = dataclasses.replace(written, records_replayed=boot.records_replayed)
        if isinstance(boot.failure, load.Refused) and written.records:
            boot = _without_warmup(server, staging.warmup_file(staged), logs, boot, written)
            reasons = _reasons(boot, len(logs))
        else:
            reasons = _reasons(boot, len(logs)) or (
                *warmup.judge(written),
                *unchanged.judge(digest, staging.digest(staged)),
            )
        judged = verdict.Verdict(
            reasons=reasons,
            server=verdict.Server(boot.server.name, boot.server.version, job.serving.platform),
            tries=tries,
            load_time_s=boot.load_time_s,
            warmup=written,
            examples=examples,
            outcomes=boot.outcomes,
            digest=digest,
        )
        if job.output is not None:
            progress(f"Writing the {'blessed model' if judged.blessed else 'report'} to {job.output}")
            with staging.whole_or_nothing(job.output):
                if judged.blessed:
                    staging.publish(staged, job.output)
                report.write(judged, job.output)
                staging.mark(job.output, blessed=judged.blessed)
        return judged


class _Server:
    """Boots the staged model as often as it takes.

    Args:
      job: what to validate.
      directory: the workspace.
      models: the model base path.
      redactor: every text of the server passes it.
      progress: is told what happens.
    """

    def __init__(
        self,
        job: Job,
        directory: Path,
        models: Path,
        redactor: redaction.Redactor,
        progress: Callable[[str], None],
    ) -> None:
        self._job = job
        self._directory = directory
        self._models = models
        self._redactor = redactor
        self._progress = progress
        self._boots = 0

    def boot_until_definite(self, logs: Sequence[prediction_log_pb2.PredictionLog]) -> tuple[_Boot, int]:
        """Boots the model and sends the requests, again if the server is lost, crashes or takes too long.

        Returns:
          The last boot, and the number of tries.

        Raises:
          SandboxError: no try came to a result, for a reason that is not the model's.
        """
        tries = 0
        while True:
            tries += 1
            last = tries == self._job.validation.num_tries
            try:
                boot = self.boot(logs, tries)
            except errors.ServerLostError as error:
                if last:
                    raise
                self._progress(f"Try {tries} of {self._job.validation.num_tries} ended without a result: {error}")
                continue
            if boot.definite or last:
                return boot, tries
            self._progress(f"Try {tries} of {self._job.validation.num_tries} failed, trying again")

    def boot(self, logs: Sequence[prediction_log_pb2.PredictionLog], tries: int = 1) -> _Boot:
        """Boots the model once and sends the requests to it."""
        job, limit_s = self._job, self._job.validation.max_loading_time_s
        self._boots += 1
        run_directory = self._directory / f"boot{self._boots}"
        parameters = job.warmup.batching_parameters_file
        options = base.ServerOptions(
            model_name=job.serving.model_name,
            model_base_path=self._models,
            batching_parameters_file=Path(parameters).absolute() if parameters else None,
            # One thread a request under way, and some for the status calls.
            grpc_max_threads=job.validation.concurrency + 4,
        )
        started = time.monotonic()
        with (
            factory.create(job.serving, options, run_directory) as sandbox,
            client.Client(sandbox.endpoint.target, job.serving.model_name) as connection,
        ):
            server = sandbox.identity
            self._progress(f"Booting {server.name} {server.version}")
            try:
                ended = base.wait_until(connection.available, sandbox, started + limit_s)
            except TimeoutError:
                return _Boot(server, failure=load.Late(limit_s, tries))
            load_time_s = time.monotonic() - started
            if ended is not None:
                return _Boot(server, failure=self._load_failure(sandbox, ended, tries))
            replayed = serving_log.warmup_records_read(sandbox.log())
            self._progress(f"The model is AVAILABLE after {load_time_s:.1f} s, {replayed or 0} warmup records replayed")
            if logs:
                self._progress(f"Sending {len(logs)} requests")
            outcomes = replayer.replay(
                logs, connection, self._redactor, job.validation, stopped=lambda: sandbox.poll() is not None
            )
            ended = sandbox.poll()
            death = None if ended is None else self._death(ended, sandbox)
            return _Boot(server, None, load_time_s, replayed, outcomes, death)

    def _load_failure(
        self, sandbox: base.Sandbox, ended: base.ServerExit, tries: int
    ) -> load.Refused | load.Crashed:
        log = sandbox.log()
        op = serving_log.unregistered_op(log)
        if op is not None and sandbox.identity.embedded:
            raise errors.UnregisteredOpError(
                f"The model uses the op {self._redactor.name(op)}, which the embedded server does not have. Name the Python module "
                "that registers it with --import-ops MODULE (ProcessSpec.import_ops), or validate with a "
                "tensorflow_model_server that has it."
            )
        refusal = serving_log.refusal(log)
        if refusal is not None:
            with_warmup = staging.warmup_file(self._models / _VERSION).exists()
            return load.Refused(refusal.code, self._redactor.message(refusal.message), with_warmup)
        if ended.signal is not None:
            return load.Crashed(self._death(ended, sandbox), tries)
        raise errors.ServerStartError(
            f"{sandbox.identity.name} ended with exit code {ended.code} before it loaded the model, for a reason of "
            f"its own. Its last words:\n{self._redactor.log(log)}"
        )

    def _death(self, ended: base.ServerExit, sandbox: base.Sandbox) -> str:
        if ended.signal is None:
            return f"exit code {ended.code}"
        name = signal.Signals(ended.signal).name
        if ended.signal == signal.SIGKILL:
            raise errors.ServerLostError(
                f"{sandbox.identity.name} was killed by {name}; most often the machine ran out of memory. Free some, "
                "or validate on a larger machine."
            )
        return name


def _targets(job: Job) -> tuple[tuple[signatures.Signature, spec.Method], ...]:
    """What to call; nothing without examples."""
    available = signatures.read(job.model, job.requests.tag_set)
    if not job.examples:
        return ()
    selected = signatures.select(available, job.requests.signatures, job.model)
    return tuple((signature, builders.check(signature)) for signature in selected)


def _prepare(
    job: Job,
    targets: tuple[tuple[signatures.Signature, spec.Method], ...],
    batch_sizes: tuple[int, ...],
    path: Path,
    make_pipeline: Callable[[], beam.Pipeline] | None,
) -> tuple[list[prediction_log_pb2.PredictionLog], verdict.Examples]:
    import apache_beam as beam  # noqa: PLC0415 - takes seconds, and a model can be loaded without it

    from infraval.prepare import transform  # noqa: PLC0415 - likewise

    plan = transform.Plan(
        targets, batch_sizes, job.requests.num_examples, job.warmup.seed, job.serving.model_name
    )
    prepared = transform.prepare(plan, job.examples, path, make_pipeline or beam.Pipeline)
    return list(prediction_logs.read(prepared.path)), verdict.Examples(prepared.records_read, prepared.dead_letters)


def _write_warmup(job: Job, path: Path, logs: list[prediction_log_pb2.PredictionLog]) -> verdict.Warmup:
    if job.make_warmup and logs:
        written = warmup_file.write(path, logs, job.warmup)
    elif path.exists():
        written = warmup_file.keep(path)
    else:
        return verdict.Warmup()
    if written.dropped:
        _log.warning("%d warmup records that came with the model were replaced.", written.dropped)
    return written


def _without_warmup(
    server: _Server,
    path: Path,
    logs: list[prediction_log_pb2.PredictionLog],
    refused: _Boot,
    written: verdict.Warmup,
) -> _Boot:
    """Boots once more without the warmup file, to tell whether the model or the file is at fault.

    Returns:
      The boot that the model is to be judged by.

    Raises:
      WarmupFileError: the model answers every request, and all of the file is infraval's.
    """
    path.unlink()
    boot, _ = server.boot_until_definite(logs)
    if boot.failure is not None or boot.death is not None or not all(outcome.ok for outcome in boot.outcomes):
        return boot
    if written.from_model:
        return refused
    if not isinstance(refused.failure, load.Refused):
        raise AssertionError
    raise errors.WarmupFileError(
        f"The server refuses the model with its warmup file ({refused.failure.code}: {refused.failure.message}) but "
        "answers the same requests without it. The file is infraval's, so this is a bug of infraval's: please report it."
    )


def _reasons(boot: _Boot, requests: int) -> tuple[verdict.Reason, ...]:
    if boot.failure is not None:
        return load.judge(boot.failure)
    return responses.judge(boot.outcomes, requests, boot.death)


def _vocabulary(model: Path) -> bytes:
    path = model / "saved_model.pb"
    return path.read_bytes() if path.exists() else b""


def _names(job: Job) -> tuple[str, ...]:
    return (job.serving.model_name, *job.requests.signatures)
