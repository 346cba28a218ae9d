"""Which requests to send to the model, and building them as PredictionLogs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infraval import errors, escape, evidence, options
from infraval.requests import (
    batch_sizes,
    graph,
    harvest,
    making,
    prediction_logs,
    processes,
    shards,
    signatures,
    targets,
    variables,
)

if TYPE_CHECKING:
    import apache_beam as beam


_SHOWN = 20
"""Signatures that are left out, each with its reason; the others are only counted."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which requests to send.

    Attributes:
      signatures: all that the model has, by key.
      paths: of the shards of the examples that are read; without any, the model is only loaded.
      targets: what to call.
      left_out: signatures that `all` leaves out, and why.
      batch_sizes: examples per request; each is a cell with every target that does not take lists.
      warnings: what to know about the model, and is no reason not to judge it.
      shards: how many the examples have, also those that are not read.
      records_per_shard: how many to read of each, from its beginning; None for all.
    """

    signatures: Mapping[str, signatures.Signature]
    paths: tuple[str, ...]
    targets: tuple[targets.Target, ...]
    left_out: Mapping[str, str]
    batch_sizes: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    shards: int = 0
    records_per_shard: int | None = None


def select(job: options.Job) -> Selection:
    """Decides which requests to send, before anything costly is done.

    Raises:
      InputError: the model, the examples and the options do not fit together.
    """
    meta_graph = signatures.meta_graph(job.model, job.requests.tag_set)
    available = signatures.of(meta_graph)
    sizes = batch_sizes.batch_sizes(job)
    _check_existing_warmup(job, available)
    _check_baseline(job)
    warnings = tuple(filter(None, [variables.warning(job.model, meta_graph)]))
    found = shards.find(job.examples)
    if not found:
        return Selection(available, (), (), {}, sizes, warnings)
    paths, records_per_shard = shards.part(found, job.requests.max_shards, job.requests.max_records)
    if len(paths) < len(found) or records_per_shard is not None:
        most = "" if records_per_shard is None else f", and of each at most its first {records_per_shard} records"
        warnings = (
            *warnings,
            f"The requests are sampled from a part of the examples: {len(paths)} of {len(found)} files{most}.",
        )
    parsing = graph.of(meta_graph)
    called, left_out = targets.resolve(job.requests, available, shards.peek(paths), sizes, parsing)
    cells = sum(len(target.records_per_request(sizes)) for target in called)
    if job.make_warmup and cells > job.warmup.max_records:
        raise errors.OptionError(
            f"{len(called)} signatures at {len(sizes)} batch sizes make {cells} cells, each of which needs a warmup "
            f"record, but --max-warmup-records (warmup.max_records) is {job.warmup.max_records}. Use fewer signatures "
            "or batch sizes."
        )
    lists = targets.fed_by_lists(called)
    if lists and sizes != (1,):
        batches = (
            f"Batch sizes ({', '.join(map(str, sizes))}) do not apply to {escape.names(lists)}: each record is an "
            "ExampleListWithContext, and a request to them is one record, whose examples are the batch. Sizes "
            "that no record has may stay cold."
        )
        warnings = (*warnings, batches)
    return Selection(available, tuple(paths), tuple(called), left_out, sizes, warnings, len(found), records_per_shard)


def _check_baseline(job: options.Job) -> None:
    """Checks that the baseline is a SavedModel with the tags to serve."""
    if job.baseline is None:
        return
    try:
        signatures.meta_graph(job.baseline, job.requests.tag_set)
    except errors.ModelError as error:
        raise errors.InputError(
            f"The model given with --baseline (baseline) cannot be used. {error}", code="input/baseline"
        ) from None


def _check_existing_warmup(job: options.Job, available: Collection[str]) -> None:
    """Refuses a warmup file that came with the model if TF Serving would surely refuse it, unless it is replaced."""
    path = job.model / options.WARMUP_FILE
    if not path.exists() or (job.make_warmup and job.warmup.existing is options.ExistingWarmup.REPLACE):
        return
    number = 0
    for number, log in enumerate(prediction_logs.read(path), start=1):
        for key in prediction_logs.signatures(log):
            if key not in available:
                raise prediction_logs.refused(
                    f"Record {number} of {path} calls the signature {key!r}, which the model does not have; it has "
                    f"{escape.names(available)}."
                )
    if number > options.MAX_WARMUP_RECORDS:
        raise prediction_logs.refused(f"{path} has more than {options.MAX_WARMUP_RECORDS} records.")


def build(
    job: options.Job,
    selection: Selection,
    path: Path,
    make_pipeline: Callable[[], beam.Pipeline] | None,
    progress: Callable[[str], None],
    sample_in: str = "",
) -> tuple[prediction_logs.Logs, evidence.Examples | None]:
    """Builds the requests and writes them to `path`; a Beam pipeline reads the examples if it can be made.

    The sample of them then comes back through `sample_in`, a path or URI.

    Returns:
      The requests, those that cover every cell first, which stay in the file, and where they came from; none without
      examples.

    Raises:
      ExamplesError: the examples cannot be read, or too few of them fit.
    """
    if not selection.paths:
        return prediction_logs.Logs(), None
    progress(f"Building requests for {escape.names(','.join(target.signatures) for target in selection.targets)}")
    for reason in list(selection.left_out.values())[:_SHOWN]:
        progress(f"Left out: {reason}")
    if len(selection.left_out) > _SHOWN:
        progress(f"Left out: {len(selection.left_out) - _SHOWN} more signatures; the report lists them")
    for name, value in targets.constants_of(selection.targets).items():
        progress(f"In every request: {name}={value}")
    for name in targets.left_to_defaults(selection.targets, selection.signatures):
        progress(f"Left to the model's default: {name}")
    for name in targets.fed_by_lists(selection.targets):
        progress(f"Each request to {escape.name(name)} is one ExampleListWithContext; its examples are the batch")
    plan = making.Plan(
        targets=selection.targets,
        batch_sizes=selection.batch_sizes,
        num_examples=job.requests.num_examples,
        seed=job.warmup.seed,
        model_name=job.server.model_name,
        max_dead_letter_share=job.requests.max_dead_letter_share,
        records_per_shard=selection.records_per_shard,
    )
    prepared = making.make(plan, _collect(plan, selection.paths, path.parent, make_pipeline, sample_in), path)
    examples = evidence.Examples(
        shards=selection.shards,
        shards_read=len(selection.paths),
        records_per_shard=selection.records_per_shard,
        records_read=prepared.records_read,
        records_checked=prepared.records_checked,
        dead_letters=prepared.dead_letters,
        dead_letter_share_at_most=prepared.dead_letter_share_at_most,
        left_out=dict(selection.left_out),
        fed=targets.fed(selection.targets),
        constants=targets.constants_of(selection.targets),
        defaults=targets.left_to_defaults(selection.targets, selection.signatures),
    )
    return prediction_logs.find(prepared.path, prepared.count), examples


def _collect(
    plan: making.Plan,
    paths: Sequence[str],
    directory: Path,
    make_pipeline: Callable[[], beam.Pipeline] | None,
    sample_in: str,
) -> harvest.Harvest:
    if make_pipeline is None:
        return processes.collect(plan, paths)
    from infraval.requests import beam_transform  # noqa: PLC0415 - importing Beam takes seconds

    return beam_transform.collect(plan, paths, directory, make_pipeline, sample_in)
