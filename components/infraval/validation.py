"""The whole way: prepare, stage, boot, replay, judge, bless. The only module that sees every stage."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tensorflow_serving.apis import prediction_log_pb2

from infraval import boot, errors, prediction_logs, redaction, spec, verdict, workspace
from infraval.bless import report, staging
from infraval.bless import warmup as warmup_file
from infraval.judge import load, responses, unchanged, warmup
from infraval.prepare import batching, shards, signatures, targets
from infraval.sandbox import base, factory

if TYPE_CHECKING:
    import apache_beam as beam

_log = logging.getLogger(__name__)

_VERSION = "1"

_PEEKED = 100
"""Records looked at beforehand to see which features there are."""


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


def validate(
    job: Job,
    make_pipeline: Callable[[], beam.Pipeline] | None = None,
    progress: Callable[[str], None] = _log.info,
) -> verdict.Verdict:
    """Judges a model by really serving it, and publishes it with its warmup file if it passes.

    Args:
      job: what to validate.
      make_pipeline: makes the Beam pipeline that prepares the requests; by default one in this process.
      progress: is told what happens, a sentence each.

    Returns:
      The verdict. With an `output`, it is also on disk: `report.json`, the marker, and for a blessed model
      `stamped_model`.

    Raises:
      InfravalError: the model could not be judged; the output then holds nothing.
    """
    factory.check(job.serving)
    available = signatures.read(job.model, job.requests.tag_set)
    batch_sizes = batching.batch_sizes(job.warmup)
    if job.output is not None:
        staging.check_output(job.output)
    paths = shards.find(job.examples)
    called, left_out = _resolve(job, available, paths, batch_sizes)
    with workspace.workspace() as directory:
        logs: list[prediction_log_pb2.PredictionLog] = []
        examples = None
        if paths:
            progress(f"Building requests for {', '.join(target.cell(1).signature for target in called)}")
            for reason in left_out.values():
                progress(f"Left out: {reason}")
            logs, examples = _prepare(job, called, batch_sizes, paths, directory / "requests", make_pipeline)
            examples = dataclasses.replace(examples, left_out=left_out)
        progress("Staging the model")
        models = directory / "models"
        models.mkdir()
        staged = models / _VERSION
        staging.stage(job.model, staged)
        written = _write_warmup(job, staging.warmup_file(staged), logs)
        judged = _judge(job, _booter(job, models, directory, available, progress), staged, logs, written, examples)
        if job.output is not None:
            progress(f"Writing the {'blessed model' if judged.blessed else 'report'} to {job.output}")
            _publish(judged, staged, job.output)
        return judged


def _judge(
    job: Job,
    booter: boot.Booter,
    staged: Path,
    logs: list[prediction_log_pb2.PredictionLog],
    written: verdict.Warmup,
    examples: verdict.Examples | None,
) -> verdict.Verdict:
    digest = staging.digest(staged)
    cold = _boot_cold(booter, staged, logs) if job.warmup.compare_cold and written.records else None
    booted, tries = booter.boot_until_definite(logs, measure=cold is not None)
    written = dataclasses.replace(written, records_replayed=booted.records_replayed)
    if isinstance(booted.failure, load.Refused) and staging.warmup_file(staged).exists():
        booted, reasons = _judge_without_warmup(booter, staged, logs, booted, booted.failure, written)
    else:
        reasons = _reasons(booted, len(logs)) or (
            *warmup.judge(written),
            *unchanged.judge(digest, staging.digest(staged)),
        )
    return verdict.Verdict(
        reasons=reasons,
        server=verdict.Server(booted.server.name, booted.server.version, job.serving.platform),
        tries=tries,
        load_time_s=booted.load_time_s,
        warmup=written,
        examples=examples,
        outcomes=booted.outcomes,
        digest=digest,
        cold=_compare(cold, booted),
    )


def _boot_cold(booter: boot.Booter, staged: Path, logs: Sequence[prediction_log_pb2.PredictionLog]) -> boot.Boot:
    """Boots the staged model with its warmup file out of the way."""
    path, aside = staging.warmup_file(staged), staged.parent.with_name("warmup")
    path.rename(aside)
    booted, _ = booter.boot_until_definite(logs, measure=True)
    aside.rename(path)
    return booted


def _compare(cold: boot.Boot | None, warm: boot.Boot) -> verdict.Cold | None:
    if cold is None or cold.load_time_s is None or not warm.latencies:
        return None
    return verdict.Cold(cold.load_time_s, cold.latencies, warm.latencies)


def _judge_without_warmup(
    booter: boot.Booter,
    staged: Path,
    logs: list[prediction_log_pb2.PredictionLog],
    refused: boot.Boot,
    refusal: load.Refused,
    written: verdict.Warmup,
) -> tuple[boot.Boot, tuple[verdict.Reason, ...]]:
    """Boots once more without the warmup file, to tell whether the model or the file is at fault.

    Returns:
      The boot that decides, and the reasons against the model.

    Raises:
      WarmupFileError: the model answers every request, and all of the file is infraval's.
    """
    staging.warmup_file(staged).unlink()
    booted, _ = booter.boot_until_definite(logs)
    reasons = _reasons(booted, len(logs))
    if reasons:
        return booted, reasons
    if written.records > written.from_model == 0:
        raise errors.WarmupFileError(
            f"The server refuses the model with its warmup file ({refusal.code}: {refusal.message}) but answers the "
            "same requests without it. The file is infraval's own, so this is a bug of infraval's: please report it."
        )
    return refused, warmup.judge_refusal(refusal.code, refusal.message, written)


def _resolve(
    job: Job, available: Mapping[str, signatures.Signature], paths: Sequence[str], batch_sizes: Sequence[int]
) -> tuple[list[targets.Target], dict[str, str]]:
    """What to call, and what is left out of it; nothing without examples."""
    if not paths:
        return [], {}
    called, left_out = targets.resolve(job.requests, available, shards.peek(paths, _PEEKED), batch_sizes)
    cells = len(called) * len(batch_sizes)
    if job.make_warmup and cells > job.warmup.max_records:
        raise errors.OptionError(
            f"{len(called)} signatures at {len(batch_sizes)} batch sizes are {cells} cells, and each needs a "
            f"warmup record; the file may hold {job.warmup.max_records}. Ask for fewer."
        )
    return called, left_out


def _prepare(
    job: Job,
    called: Sequence[targets.Target],
    batch_sizes: tuple[int, ...],
    paths: Sequence[str],
    path: Path,
    make_pipeline: Callable[[], beam.Pipeline] | None,
) -> tuple[list[prediction_log_pb2.PredictionLog], verdict.Examples]:
    from infraval.prepare import transform  # noqa: PLC0415 - Beam takes seconds, and a model can be loaded without

    plan = transform.Plan(
        targets=tuple(called),
        batch_sizes=batch_sizes,
        num_examples=job.requests.num_examples,
        seed=job.warmup.seed,
        model_name=job.serving.model_name,
        max_dead_letter_share=job.requests.max_dead_letter_share,
    )
    prepared = transform.prepare(plan, paths, path, make_pipeline or transform.in_memory_pipeline)
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


def _booter(
    job: Job,
    models: Path,
    directory: Path,
    available: Mapping[str, signatures.Signature],
    progress: Callable[[str], None],
) -> boot.Booter:
    parameters = job.warmup.batching_parameters_file
    saved_model = models / _VERSION / "saved_model.pb"
    redactor = redaction.Redactor(
        saved_model.read_bytes() if saved_model.exists() else b"", (job.serving.model_name, *available, str(models))
    )
    options = base.ServerOptions(
        model_name=job.serving.model_name,
        model_base_path=models,
        batching_parameters_file=Path(parameters).absolute() if parameters else None,
        # A thread for every request under way, and some for the status calls.
        grpc_max_threads=job.validation.concurrency + 4,
        saved_model_tags=job.requests.tag_set,
    )
    return boot.Booter(job.serving, job.validation, options, directory, redactor, progress)


def _publish(judged: verdict.Verdict, staged: Path, output: Path) -> None:
    with staging.whole_or_nothing(output):
        if judged.blessed:
            staging.publish(staged, output)
        report.write(judged, output)
        staging.mark(output, blessed=judged.blessed)


def _reasons(booted: boot.Boot, requests: int) -> tuple[verdict.Reason, ...]:
    if booted.failure is not None:
        return load.judge(booted.failure)
    return responses.judge(booted.outcomes, requests, booted.death)
