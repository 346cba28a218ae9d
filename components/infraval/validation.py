"""The whole way: prepare, stage, boot, replay, judge, bless. The only module that sees every stage."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options, redaction, verdict, workspace
from infraval.report import data as report
from infraval.requests import batch_sizes as batching
from infraval.requests import prediction_logs, shards, signatures, targets
from infraval.sandbox import base
from infraval.sandbox import registry as factory
from infraval.staging import model as staging
from infraval.staging import warmup_file
from infraval.trial import boot
from infraval.trial import run as judging

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
    requests: options.RequestSpec = options.RequestSpec()
    make_warmup: bool = True
    warmup: options.WarmupSpec = options.WarmupSpec()
    serving: options.ServingSpec = options.ServingSpec()
    validation: options.ValidationSpec = options.ValidationSpec()
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
    factory.check(job.serving, progress)
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
        judged = _judge(
            job,
            judging.Staged(staged, staging.digest(staged), logs, written, examples),
            directory,
            _redactor(job, models, available, directory, logs),
            progress,
        )
        if job.output is not None:
            progress(f"Writing the {'blessed model' if judged.blessed else 'report'} to {job.output}")
            _publish(judged, staged, job.output)
        return judged


def _judge(
    job: Job, staged: judging.Staged, directory: Path, redactor: redaction.Redactor, progress: Callable[[str], None]
) -> verdict.Verdict:
    """What every server finds, side by side if there are several; the first that cannot judge ends the others."""
    servings = job.serving.each()
    booters = []
    judges = []
    for index, serving in enumerate(servings):
        own = _server_directory(directory, index)
        own.mkdir(mode=0o700)
        tell = progress if len(servings) == 1 else functools.partial(_tell, progress, serving.images[0])
        booter = boot.Booter(serving, job.validation, _options(job, staged.model.parent), own, redactor, tell)
        booters.append(booter)
        judges.append(
            functools.partial(
                judging.judge, staged, booter, serving.platform, own, compare_cold=job.warmup.compare_cold
            )
        )
    if len(judges) == 1:
        return judges[0]()
    pool = futures.ThreadPoolExecutor(job.serving.docker.parallel_images, thread_name_prefix="image")
    try:
        pending = [pool.submit(judge) for judge in judges]
        for finished in futures.as_completed(pending):
            finished.result()
    except BaseException:
        for booter in booters:
            booter.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    first, *others = sorted((finished.result() for finished in pending), key=lambda judged: not judged.reasons)
    return dataclasses.replace(first, others=tuple(others))


def _tell(progress: Callable[[str], None], image: str, text: str) -> None:
    progress(f"{image}: {text}")


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
    from infraval.requests import beam_transform  # noqa: PLC0415 - Beam takes seconds, and a model can be loaded without

    plan = beam_transform.Plan(
        targets=tuple(called),
        batch_sizes=batch_sizes,
        num_examples=job.requests.num_examples,
        seed=job.warmup.seed,
        model_name=job.serving.model_name,
        max_dead_letter_share=job.requests.max_dead_letter_share,
    )
    prepared = beam_transform.prepare(plan, paths, path, make_pipeline or beam_transform.in_memory_pipeline)
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


def _server_directory(directory: Path, index: int) -> Path:
    return directory / f"server{index}"


def _redactor(
    job: Job,
    models: Path,
    available: Mapping[str, signatures.Signature],
    directory: Path,
    logs: Sequence[prediction_log_pb2.PredictionLog],
) -> redaction.Redactor:
    saved_model = models / _VERSION / "saved_model.pb"
    cold = (judging.cold_base_path(_server_directory(directory, index)) for index in range(len(job.serving.each())))
    base_paths = (models, f"{base.CONTAINER_BASE_PATH}/{job.serving.model_name}", *cold)
    return redaction.Redactor(
        saved_model.read_bytes() if saved_model.exists() else b"",
        (job.serving.model_name, *available, *map(str, base_paths)),
        logs,
    )


def _options(job: Job, models: Path) -> base.Launch:
    parameters = job.warmup.batching_parameters_file
    return base.Launch(
        model_name=job.serving.model_name,
        model_base_path=models,
        batching_parameters_file=Path(parameters).absolute() if parameters else None,
        # A thread for every request under way, and some for the status calls.
        grpc_max_threads=job.validation.concurrency + 4,
        saved_model_tags=job.requests.tag_set,
    )


def _publish(judged: verdict.Verdict, staged: Path, output: Path) -> None:
    with staging.whole_or_nothing(output):
        if judged.blessed:
            staging.publish(staged, output)
        report.write(judged, output)
        staging.mark(output, blessed=judged.blessed)
