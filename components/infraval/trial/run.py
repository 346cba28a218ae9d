"""Tries the staged model on every server, side by side if there are several."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, evidence, options, redaction
from infraval.requests import prediction_logs
from infraval.sandbox import base, registry
from infraval.staging import model as staging
from infraval.trial import boot


def run(
    job: options.Job,
    staged: staging.StagedModel,
    logs: Sequence[prediction_log_pb2.PredictionLog],
    signatures: Iterable[str],
    directory: Path,
    progress: Callable[[str], None],
) -> tuple[evidence.Evidence, ...]:
    """Tries the staged model on every server of the job; the first that cannot judge ends the others.

    Args:
      job: which servers, within which limits.
      staged: the model.
      logs: the requests.
      signatures: names of the model's signatures, which messages may show.
      directory: where each server gets a directory of its own; private and short.
      progress: called with a line about each step.

    Returns:
      The evidence from each server, in the job's order.

    Raises:
      SandboxError: there is no result, and the model is not the cause.
      UnregisteredOpError: the embedded server cannot judge this model.
      WarmupFileError: a server refuses only infraval's own warmup file.
    """
    platform = registry.platform(job.server)
    servers = platform.each(job.server)
    redactor = _redactor(
        job, staged, logs, signatures, [_server_directory(directory, index) for index in range(len(servers))]
    )
    trials = []
    for index, server in enumerate(servers):
        own = _server_directory(directory, index)
        own.mkdir(mode=0o700)
        tell = progress if len(servers) == 1 else functools.partial(_tell, progress, platform.label(server))
        booter = boot.Booter(server, job.limits, _launch(job, staged.base_path), own, redactor, tell)
        trials.append(Trial(staged, logs, booter, own, compare_cold=job.warmup.compare_cold))
    if len(trials) == 1:
        return (trials[0].run(),)
    pool = futures.ThreadPoolExecutor(platform.side_by_side(job.server), thread_name_prefix="server")
    try:
        pending = [pool.submit(trial.run) for trial in trials]
        for finished in futures.as_completed(pending):
            finished.result()
    except BaseException:
        for trial in trials:
            trial.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(finished.result() for finished in pending)


class Trial:
    """The boots on one server, in order.

    `directory` is for a copy of the model without its warmup file; with `compare_cold`, that copy is booted first.
    """

    def __init__(
        self,
        staged: staging.StagedModel,
        logs: Sequence[prediction_log_pb2.PredictionLog],
        booter: boot.Booter,
        directory: Path,
        *,
        compare_cold: bool,
    ) -> None:
        self._staged = staged
        self._logs = logs
        self._booter = booter
        self._directory = directory
        self._compare_cold = compare_cold and staged.warmup.records > 0

    def abort(self) -> None:
        """Soon ends a trial that is running in another thread, with AbortedError there."""
        self._booter.abort()

    def run(self) -> evidence.Evidence:
        """Boots the model, and also a copy without its warmup file if that tells more."""
        cold = self._boot_without_warmup(measured=True) if self._compare_cold else None
        booted, tries = self._booter.boot_until_definite(self._logs, measured=cold is not None)
        without_warmup = None
        if isinstance(booted.failure, evidence.Refused) and self._staged.warmup_path.exists():
            without_warmup = self._boot_without_warmup(measured=False)
            self._check_own_file(booted.failure, without_warmup)
        return evidence.Evidence(
            boot=booted,
            tries=tries,
            requests=len(self._logs),
            warmup=self._staged.warmup,
            without_warmup=without_warmup,
            cold=cold,
            unchanged=self._staged.digest == staging.digest(self._staged.directory),
        )

    def _boot_without_warmup(self, *, measured: bool) -> evidence.Boot:
        base_path = staging.without_warmup(self._staged, _cold_base_path(self._directory))
        booted, _ = self._booter.boot_until_definite(self._logs, measured=measured, model_base_path=base_path)
        return booted

    def _check_own_file(self, refusal: evidence.Refused, without_warmup: evidence.Boot) -> None:
        if without_warmup.answered_all and self._staged.warmup.records > self._staged.warmup.from_model == 0:
            raise errors.WarmupFileError(
                f"The server refuses the model with its warmup file ({refusal.code}: {refusal.message}), but answers "
                "the same requests without it. infraval wrote the file, so this is a bug in infraval; please report it."
            )


def _server_directory(directory: Path, index: int) -> Path:
    return directory / f"server{index}"


def _cold_base_path(directory: Path) -> Path:
    """The model base path for a copy without the warmup file, in a server's directory."""
    return directory / "cold"


def _redactor(
    job: options.Job,
    staged: staging.StagedModel,
    logs: Sequence[prediction_log_pb2.PredictionLog],
    signatures: Iterable[str],
    directories: Sequence[Path],
) -> redaction.Redactor:
    saved_model = staged.directory / "saved_model.pb"
    in_container = f"{base.CONTAINER_BASE_PATH}/{job.server.model_name}"
    base_paths = (staged.base_path, in_container, *map(_cold_base_path, directories))
    return redaction.Redactor(
        saved_model.read_bytes() if saved_model.exists() else b"",
        (job.server.model_name, *signatures, *map(str, base_paths)),
        [*logs, *_records_of_the_model(staged)],
        redaction.Mode(job.server_messages),
    )


def _records_of_the_model(staged: staging.StagedModel) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The warmup records that came with the model: the server replays them and may quote them."""
    if staged.warmup.from_model:
        # The server will refuse a file that cannot be read to its end.
        with contextlib.suppress(errors.ModelError):
            yield from itertools.islice(prediction_logs.read(staged.warmup_path), staged.warmup.from_model)


def _tell(progress: Callable[[str], None], name: str, what: str) -> None:
    progress(f"{name}: {what}")


def _launch(job: options.Job, base_path: Path) -> base.Launch:
    parameters = job.warmup.batching_parameters_file
    return base.Launch(
        model_name=job.server.model_name,
        model_base_path=base_path,
        batching_parameters_file=Path(parameters).absolute() if parameters else None,
        # A thread for every running request, and some for status calls.
        grpc_max_threads=job.limits.concurrency + 4,
        saved_model_tags=job.requests.tag_set,
    )
