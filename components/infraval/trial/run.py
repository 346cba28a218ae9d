"""Tries the staged model on every server, side by side if there are several."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

from infraval import errors, evidence, options, redaction
from infraval.production import files as production_files
from infraval.requests import expected as expected_logs
from infraval.requests import prediction_logs
from infraval.sandbox import base, model_server, registry
from infraval.staging import model as staging
from infraval.trial import baseline, boot, determinism, expected, load, memory, replay, robustness, swap


@contextlib.contextmanager
def starting(production: production_files.Production, base_path: Path, directory: Path) -> Iterator[boot.Ahead | None]:
    """Already starts the server, where that saves time, for a model that will be staged in `base_path`.

    What comes of it is for `run`, with the same `directory`; it is gone after the block, whether it was used or not.

    Raises:
      SandboxError: the server cannot start.
    """
    job = production.job
    own = _server_directory(directory, 0)
    launch = _launch(production, _cold_base_path(own) if job.warmup.compare_cold else base_path)
    sandbox = registry.platform(job.server).start_ahead(job.server, launch, own / "ahead")
    if sandbox is None:
        yield None
        return
    with contextlib.ExitStack() as on_leaving:
        on_leaving.push(sandbox.__exit__)
        yield boot.Ahead(launch, sandbox)


def run(
    production: production_files.Production,
    staged: staging.StagedModel,
    logs: prediction_logs.Logs,
    signatures: Iterable[str],
    directory: Path,
    progress: Callable[[str], None],
    constants: Collection[str] = (),
    ahead: boot.Ahead | None = None,
    known: expected_logs.Expected | None = None,
    other: staging.StagedModel | None = None,
) -> tuple[evidence.Evidence, ...]:
    """Tries the staged model on every server of the job; the first that cannot judge ends the others.

    Each server gets its own directory in `directory`, which must be private and short. Messages may show the names of
    the model's signatures. What `constants` names, `SIGNATURE/INPUT` each, is not the batch of the requests. `known`
    are requests with expected responses, and `other` is the baseline, if there is one.

    Returns:
      The evidence from each server, in the job's order.

    Raises:
      SandboxError: there is no result, and the model is not the cause.
      UnregisteredOpError: the embedded server cannot judge this model.
      WarmupFileError: a server refuses only infraval's own warmup file.
    """
    job = production.job
    platform = registry.platform(job.server)
    servers = platform.each(job.server)
    directories = [_server_directory(directory, index) for index in range(len(servers))]
    redactor = _redactor(job, staged, logs, signatures, directories, directory)
    booters = []
    for (label, server), own in zip(servers.items(), directories, strict=True):
        tell = progress if len(servers) == 1 else functools.partial(_tell, progress, label)
        launch = _launch(production, staged.base_path)
        booters.append(boot.Booter(server, job.limits, launch, own, redactor, tell, job.warmup.seed, ahead))
    requests = replay.OfLogs(logs, constants)
    trial = functools.partial(_try, job, staged, requests, known, other)
    if len(booters) == 1:
        return (trial(booters[0]),)
    pool = futures.ThreadPoolExecutor(platform.side_by_side(job.server), thread_name_prefix="server")
    try:
        pending = [pool.submit(trial, booter) for booter in booters]
        for finished in futures.as_completed(pending):
            finished.result()
    except BaseException:
        for booter in booters:
            booter.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(finished.result() for finished in pending)


def _try(
    job: options.Job,
    staged: staging.StagedModel,
    requests: replay.Requests,
    known: expected_logs.Expected | None,
    other: staging.StagedModel | None,
    booter: boot.Booter,
) -> evidence.Evidence:
    """Boots the model on one server, and also a copy without its warmup file if that tells more."""

    def boot_without_warmup(*, measured: bool) -> evidence.Boot:
        base_path = staging.without_warmup(staged, _cold_base_path(booter.directory))
        return booter.boot_until_definite(requests, measured=measured, model_base_path=base_path)[0]

    compares = job.warmup.compare_cold and staged.warmup.records > 0
    cold = boot_without_warmup(measured=True) if compares else None
    repeating = determinism.Study(job, booter) if job.on("determinism") else None
    comparing = expected.Study(known, job.gates.expected.tolerance, booter) if known and job.on("expected") else None
    loading = load.Study(job, booter, compares=other is not None) if job.on("latency") else None
    beside = baseline.Study(job, staged, other, booter, loading=loading) if other and job.compares else None
    watching = memory.Study(job.gates.memory, booter) if job.on("memory") else None
    studies = [study for study in (repeating, comparing, beside, loading, watching) if study is not None]
    booted, tries = booter.boot_until_definite(requests, measured=True, studies=studies)
    without_warmup = None
    if isinstance(booted.failure, evidence.Refused) and staged.warmup_path.exists():
        without_warmup = boot_without_warmup(measured=False)
        if without_warmup.answered_all and staged.warmup.records > staged.warmup.from_model == 0:
            raise errors.WarmupFileError(
                f"The server refuses the model with its warmup file ({booted.failure.code}: {booted.failure.message}), "
                "but answers the same requests without it. infraval wrote the file, so this is a bug in infraval; "
                "please report it."
            )
    swapped = None
    if other is not None and job.on("swap") and booted.answered_all and len(requests):
        swapped = swap.rehearse(job, staged, other, requests, booter)
    probes = job.on("robust") and booted.answered_all and len(requests) > 0
    return evidence.Evidence(
        boot=booted,
        tries=tries,
        requests=len(requests),
        warmup=staged.warmup,
        without_warmup=without_warmup,
        cold=cold,
        measured_again=_measure_again(job.gates, staged, requests, booted, booter),
        memory=watching.found if watching else None,
        robustness=robustness.probe(job.gates.robust, requests, booter) if probes else None,
        unchanged=staged.digest == staging.digest(staged.directory),
        determinism=repeating.found if repeating else None,
        expected=comparing.found if comparing else None,
        baseline=beside.found if beside else None,
        load=loading.found if loading else None,
        model_bytes=staging.size(staged.directory),
        swap=swapped,
    )


def _measure_again(
    asked: options.GateOptions,
    staged: staging.StagedModel,
    requests: replay.Requests,
    booted: evidence.Boot,
    booter: boot.Booter,
) -> tuple[evidence.Latency, ...]:
    """Measures the cells that look cold on further boots: a busy machine also makes a first request slow."""
    if not (asked.on("warm") and staged.warmup.records and booted.answered_all):
        return ()
    found: list[evidence.Latency] = []
    suspects = _cold(asked.warm, booted.latencies)
    for _ in range(asked.warm.more_boots):
        if not suspects:
            break
        booter.progress(f"Measuring again on a new boot: {len(suspects)} cells that look cold")
        again, _tries = booter.boot_until_definite(requests, measured=True, repeated=suspects, replayed=False)
        latencies = [latency for latency in again.latencies if latency.cell in suspects]
        found += latencies
        suspects -= {latency.cell for latency in latencies} - _cold(asked.warm, latencies)
    return tuple(found)


def _cold(warm: options.WarmGate, latencies: Iterable[evidence.Latency]) -> set[options.Cell]:
    return {
        each.cell for each in latencies if each.built or warm.looks_cold(each.first_s, each.steady_s, each.slowest_s)
    }


def _server_directory(directory: Path, index: int) -> Path:
    path = directory / f"server{index}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _cold_base_path(directory: Path) -> Path:
    """The model base path for a copy without the warmup file, in a server's directory."""
    return directory / "cold"


def _redactor(
    job: options.Job,
    staged: staging.StagedModel,
    logs: prediction_logs.Logs,
    signatures: Iterable[str],
    directories: Sequence[Path],
    directory: Path,
) -> redaction.Redactor:
    saved_model = staged.directory / "saved_model.pb"
    in_container = f"{base.CONTAINER_BASE_PATH}/{job.server.model_name}"
    base_paths = (staged.base_path, in_container, *map(_cold_base_path, directories))
    return redaction.Redactor(
        saved_model.read_bytes() if saved_model.exists() else b"",
        (job.server.model_name, *signatures, *map(str, base_paths)),
        logs + _records_of_the_model(staged, directory),
        job.server_messages,
    )


def _records_of_the_model(staged: staging.StagedModel, directory: Path) -> prediction_logs.Logs:
    """The warmup records that came with the model: the server replays them and may quote them.

    They are read from a copy, because a server may change its model's files.
    """
    if not staged.warmup.from_model:
        return prediction_logs.Logs()
    copied = directory / "records_of_the_model"
    shutil.copyfile(staged.warmup_path, copied)
    return prediction_logs.find(copied, staged.warmup.from_model)


def _tell(progress: Callable[[str], None], name: str, what: str) -> None:
    progress(f"{name}: {what}")


def _launch(production: production_files.Production, base_path: Path) -> base.Launch:
    job = production.job
    at_once = load.at_once(job.gates.latency) if job.gates.on("latency") else 1
    at_once = max(at_once, load.threads_for(job.gates.swap.rate) if job.gates.on("swap") else 1)
    return base.Launch(
        model_name=job.server.model_name,
        model_base_path=base_path,
        model_config=production.model_config,
        labels=bool(production.labels),
        files=production.files,
        grpc_max_threads=model_server.grpc_max_threads(max(job.limits.concurrency, at_once)),
        saved_model_tags=job.requests.tag_set,
        metrics=job.gates.warm.counters if job.on("warm") else False,
    )


def booter(
    production: production_files.Production,
    staged: staging.StagedModel,
    logs: prediction_logs.Logs,
    signatures: Iterable[str],
    directory: Path,
    progress: Callable[[str], None],
    at_once: int,
) -> boot.Booter:
    """A booter of the job's first server, which can take so many requests at once; the arguments are those of `run`."""
    job = production.job
    own = _server_directory(directory, 0)
    server = next(iter(registry.platform(job.server).each(job.server).values()))
    threads = model_server.grpc_max_threads(max(job.limits.concurrency, at_once))
    launch = dataclasses.replace(_launch(production, staged.base_path), grpc_max_threads=threads)
    redactor = _redactor(job, staged, logs, signatures, [own], directory)
    return boot.Booter(server, job.limits, launch, own, redactor, progress, job.warmup.seed)
