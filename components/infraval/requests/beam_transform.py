"""Beam: read every shard, sample, build PredictionLogs, write them.

A worker may run in another process with another Python, so only data is exchanged: problems with the examples come
back as a field of the result, not as an exception that a runner would wrap.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.runners.portability import fn_api_runner
from apache_beam.runners.worker import statesampler

from infraval import errors, options, signals
from infraval.requests import acceptance, builders, coverage, prediction_logs, sampling, shards, targets
from infraval.tensorflow_protos import prediction_log_pb2

_MAX_REQUESTS_BYTES = 1 << 30
"""Most that the records in all requests may have together: the client holds the requests in memory."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to build, in a form that Beam can send to its workers.

    Attributes:
      targets: what to call.
      batch_sizes: examples per request; each is a cell with every target that does not take lists.
      num_examples: distinct examples to send to each cell.
      seed: of the sample.
      model_name: for the requests' ModelSpec.
      max_dead_letter_share: the share of all records that may be left out.
    """

    targets: tuple[targets.Target, ...]
    batch_sizes: tuple[int, ...]
    num_examples: int
    seed: int
    model_name: str
    max_dead_letter_share: float = options.RequestOptions().max_dead_letter_share

    def empty_sample(self) -> sampling.Sample:
        """A sample with room for the largest batch and for all distinct examples."""
        return sampling.Sample(max(self.num_examples, *self.batch_sizes), self.seed, sampling.MAX_BYTES)


@dataclasses.dataclass(frozen=True)
class Requests:
    """Prepared requests.

    Attributes:
      path: TFRecord of PredictionLogs; the first ones cover every cell once.
      count: how many there are.
      records_read: records in all shards.
      dead_letters: records left out, by cause.
    """

    path: Path
    count: int
    records_read: int
    dead_letters: dict[str, int]


@dataclasses.dataclass
class _Harvest:
    """The result of reading some of the shards."""

    sample: sampling.Sample
    records_read: int = 0
    dead_letters: Counter[str] = dataclasses.field(default_factory=Counter)
    problems: tuple[tuple[str, str], ...] = ()
    """Code and message of each."""


class _ReadShard(beam.DoFn):
    """Path of a TFRecord shard, as bytes -> its _Harvest."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._acceptance = acceptance.Acceptance(plan.targets)

    def process(self, path: bytes) -> Iterator[_Harvest]:
        harvest = _Harvest(self._plan.empty_sample())
        try:
            for records in shards.read(os.fsdecode(path)):
                harvest.records_read += len(records)
                harvest.sample.add(self._acceptance.accepted(records, harvest.dead_letters))
        except errors.ExamplesError as error:
            harvest.problems = ((error.code, str(error)),)
        yield harvest


class _MergeHarvests(beam.CombineFn):
    """Harvests of shards -> the harvest of all of them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def create_accumulator(self) -> _Harvest:
        return _Harvest(self._plan.empty_sample())

    def add_input(self, accumulator: _Harvest, harvest: _Harvest) -> _Harvest:
        accumulator.sample.merge(harvest.sample)
        accumulator.records_read += harvest.records_read
        accumulator.dead_letters += harvest.dead_letters
        accumulator.problems += harvest.problems
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Harvest]) -> _Harvest:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            self.add_input(merged, accumulator)
        return merged

    def extract_output(self, accumulator: _Harvest) -> _Harvest:
        return accumulator


class _WriteRequests(beam.DoFn):
    """The harvest of all shards -> the file of PredictionLogs, and a summary beside it.

    Beam's own TFRecord sink is not used: with some runners it reports success and writes nothing.
    """

    def __init__(self, plan: Plan, path: Path) -> None:
        self._plan = plan
        self._path = path

    def process(self, harvest: _Harvest) -> Iterator[int]:
        count = 0
        problems = harvest.problems or self._misread(harvest.sample.records)
        if harvest.sample.is_cut and not problems:
            problems = (_too_large(f"the sample of them takes more than {sampling.MAX_BYTES >> 20} MiB"),)
        if harvest.sample.records and not problems:
            try:
                count = prediction_logs.write(self._path, _build(self._plan, harvest.sample.records))
            except _TooManyBytesError:
                problems = (_too_large(f"the requests take more than {_MAX_REQUESTS_BYTES >> 20} MiB"),)
        summary = {
            "count": count,
            "records_read": harvest.records_read,
            "dead_letters": dict(sorted(harvest.dead_letters.items())),
            "problems": sorted(problems),
        }
        _summary_path(self._path).write_text(json.dumps(summary), encoding="utf-8")
        yield count

    def _misread(self, records: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
        """Records that only the check of a whole chunk accepts: if a field is set twice, it sees a different value."""
        accept = acceptance.Acceptance(self._plan.targets)
        causes = Counter(filter(None, map(accept.cause_of_rejection, records)))
        said = "A record sets a field twice, so it can be read in two ways ({}). Write the examples again."
        return tuple(("examples/corrupt", said.format(cause)) for cause in causes)


class _TooManyBytesError(Exception):
    """The requests would have too many bytes."""


def _too_large(what: str) -> tuple[str, str]:
    message = (
        f"The examples are too large for so many: {what}. Use fewer of them (--num-examples, requests.num_examples) or "
        "smaller batches (--batch-size, warmup.batch_sizes)."
    )
    return "examples/too-large", message


class PrepareRequests(beam.PTransform):
    """Paths of TFRecord shards, as bytes -> one file of PredictionLogs; yields the number of logs in it."""

    def __init__(self, plan: Plan, path: Path) -> None:
        super().__init__()
        self._plan = plan
        self._path = path

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        """Reads and samples in parallel, then writes in one place."""
        return (
            paths
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadShard" >> beam.ParDo(_ReadShard(self._plan))
            | "MergeHarvests" >> beam.CombineGlobally(_MergeHarvests(self._plan))
            | "WriteRequests" >> beam.ParDo(_WriteRequests(self._plan, self._path))
        )


def in_memory_pipeline() -> beam.Pipeline:
    """A pipeline that runs in this process and leaves nothing behind.

    Beam's DirectRunner is not used: it first tries to download a Prism binary, and leaves temporary folders behind.
    """
    return beam.Pipeline(runner=fn_api_runner.FnApiRunner())


def prepare(plan: Plan, paths: Sequence[str], path: Path, make_pipeline: Callable[[], beam.Pipeline]) -> Requests:
    """Builds requests from the TFRecord shards at `paths` and writes them to `path`.

    Raises:
      ExamplesError: a shard cannot be read, there is no record, too many records cannot feed the targets, or the
        requests would be too large.
    """
    with _no_traceback_of_a_signal(), _no_sampler_left(), _made_in(path.parent, make_pipeline) as pipeline:
        (
            pipeline
            | "Shards" >> beam.Create([os.fsencode(path) for path in paths])
            | "PrepareRequests" >> PrepareRequests(plan, path)
        )
    summary = json.loads(_summary_path(path).read_text(encoding="utf-8"))
    problems, records_read, dead_letters = summary["problems"], summary["records_read"], summary["dead_letters"]
    if problems:
        more = f" ({len(problems) - 1} more problems like this.)" if len(problems) > 1 else ""
        code, message = problems[0]
        raise errors.ExamplesError(message + more, code=code)
    left_out = sum(dead_letters.values())
    if left_out > plan.max_dead_letter_share * records_read or left_out == records_read:
        causes = "; ".join(f"{cause} ({count} times)" for cause, count in Counter(dead_letters).most_common(3))
        raise errors.ExamplesError(
            f"{left_out} of {records_read} records cannot feed the requested signatures: {causes}. At most a share of "
            f"{plan.max_dead_letter_share:g} may be left out, and never all. Fix the examples or --feature "
            "(requests.features), or raise --max-dead-letter-share (requests.max_dead_letter_share).",
            code="examples/unfit",
        )
    return Requests(path, summary["count"], records_read, dead_letters)


def _made_in(directory: Path, make_pipeline: Callable[[], beam.Pipeline]) -> beam.Pipeline:
    """Makes a pipeline whose temporary directory is in this one, because Beam leaves it behind if it is interrupted."""
    with signals.deferred():
        pipeline = make_pipeline()
        Path(pipeline.local_tempdir).rmdir()
        pipeline.local_tempdir = tempfile.mkdtemp(dir=directory)
        return pipeline


@contextlib.contextmanager
def _no_sampler_left() -> Iterator[None]:
    """Ends the thread in which Beam measures time, and for which Python would wait at exit, for ever.

    Beam ends it, but not if a signal raises while it is being started.
    """
    before = statesampler.get_current_tracker()
    try:
        yield
    finally:
        with signals.deferred():
            sampler = statesampler.get_current_tracker()
            if sampler not in {before, None} and not sampler.finished:
                # There is no thread yet, or it has only just begun, and ends by itself.
                with contextlib.suppress(AttributeError, RuntimeError):
                    sampler.stop()


@contextlib.contextmanager
def _no_traceback_of_a_signal() -> Iterator[None]:
    """Beam logs the traceback of whatever ends a DoFn, also of a signal, which is no fault."""

    def is_of_interest(_: logging.LogRecord) -> bool:
        return not signals.has_arrived()

    log = logging.getLogger("apache_beam.runners.common")
    log.addFilter(is_of_interest)
    try:
        yield
    finally:
        log.removeFilter(is_of_interest)


def _build(plan: Plan, records: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
    cells = [
        ((target, size), size)
        for target in plan.targets
        if target.takes_records
        for size in target.records_per_request(plan.batch_sizes)
    ]
    for target in plan.targets:
        if not target.takes_records:
            yield builders.build(target, plan.model_name, ())

    def shape_bucket(cell: tuple[targets.Target, int], record: bytes) -> Hashable:
        return builders.shape_bucket(cell[0], record)

    total = 0
    for (target, _), batch in coverage.deal(cells, plan.num_examples, records, shape_bucket):
        total += sum(map(len, batch))
        if total > _MAX_REQUESTS_BYTES:
            raise _TooManyBytesError
        yield builders.build(target, plan.model_name, batch)


def _summary_path(path: Path) -> Path:
    return path.with_name(path.name + ".summary.json")
