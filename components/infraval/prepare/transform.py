"""Beam: read every shard, sample, build PredictionLogs, write them.

A worker may be another process on another Python, so nothing but data crosses: what goes wrong with the examples
comes back as a field of the result, not as an exception that a runner would wrap.
"""

from __future__ import annotations

import dataclasses
import glob
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
from apache_beam.runners.portability import fn_api_runner
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, prediction_logs, spec
from infraval.prepare import builders, coverage, sampling, signatures


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to build, in a form that travels to Beam workers.

    Attributes:
      targets: each signature and how it is called.
      batch_sizes: examples per request; each is a cell with every target.
      num_examples: distinct examples to send to each cell.
      seed: of the sample.
      model_name: goes into the requests.
    """

    targets: tuple[tuple[signatures.Signature, spec.Method], ...]
    batch_sizes: tuple[int, ...]
    num_examples: int
    seed: int
    model_name: str

    @property
    def sample_size(self) -> int:
        """Records that the sample has to hold."""
        return max(self.num_examples, *self.batch_sizes)

    def empty_sample(self) -> sampling.Sample:
        """A sample with nothing in it."""
        return sampling.Sample(self.sample_size, self.seed)


@dataclasses.dataclass(frozen=True)
class Requests:
    """Prepared requests.

    Attributes:
      path: TFRecord of PredictionLogs; the first ones touch every cell once.
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
    """What some of the shards gave."""

    sample: sampling.Sample
    records_read: int = 0
    dead_letters: Counter[str] = dataclasses.field(default_factory=Counter)
    problems: tuple[str, ...] = ()


class _ReadShard(beam.DoFn):
    """Path of a TFRecord shard -> its _Harvest."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def process(self, path: str) -> Iterator[_Harvest]:
        harvest = _Harvest(self._plan.empty_sample())
        try:
            buildable = harvest.sample.add(self._buildable(_records(path), harvest.dead_letters))
            harvest.records_read = buildable + harvest.dead_letters.total()
            if _is_gzip(path) and not _has_its_end(path):
                harvest.problems = (f"{path} is no whole gzip file",)
        except tf.errors.DataLossError:
            harvest.problems = (f"{path} is corrupt, or compressed in another way than its name says (.gz is gzip)",)
        except tf.errors.OpError as error:
            harvest.problems = (f"{path} cannot be read ({type(error).__name__})",)
        yield harvest

    def _buildable(self, records: Iterator[bytes], dead_letters: Counter[str]) -> Iterator[bytes]:
        if not any(builders.takes_only_examples(method) for _, method in self._plan.targets):
            return records
        return _valid_examples(records, dead_letters)


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

    Beam's own TFRecord sink is not used: on some runners it reports success and writes nothing.
    """

    def __init__(self, plan: Plan, path: Path) -> None:
        self._plan = plan
        self._path = path

    def process(self, harvest: _Harvest) -> Iterator[int]:
        count = 0
        if harvest.sample.records and not harvest.problems:
            count = prediction_logs.write(self._path, _build(self._plan, harvest.sample.records))
        summary = {
            "count": count,
            "records_read": harvest.records_read,
            "dead_letters": dict(sorted(harvest.dead_letters.items())),
            "problems": sorted(harvest.problems),
        }
        _summary_path(self._path).write_text(json.dumps(summary), encoding="utf-8")
        yield count


class PrepareRequests(beam.PTransform):
    """Paths of TFRecord shards -> one file of PredictionLogs; yields how many logs it holds."""

    def __init__(self, plan: Plan, path: Path) -> None:
        super().__init__()
        self._plan = plan
        self._path = path

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        """Reads and samples in parallel, then writes in one place."""
        return (
            shards
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadShard" >> beam.ParDo(_ReadShard(self._plan))
            | "MergeHarvests" >> beam.CombineGlobally(_MergeHarvests(self._plan))
            | "WriteRequests" >> beam.ParDo(_WriteRequests(self._plan, self._path))
        )


def shards(patterns: Sequence[str]) -> list[str]:
    """The files that glob patterns match, each once, sorted.

    Raises:
      ExamplesError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = {path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}  # noqa: PTH113, PTH207
        if not matches:
            raise errors.ExamplesError(f"No file matches {pattern}. Name TFRecord files of serialized examples.")
        found |= matches
    return sorted(found)


def in_memory_pipeline() -> beam.Pipeline:
    """A pipeline that runs in this process and leaves nothing behind.

    Beam's DirectRunner is not used: it looks for a Prism binary first, by download, and leaves temporary folders.
    """
    return beam.Pipeline(runner=fn_api_runner.FnApiRunner())


def prepare(plan: Plan, patterns: Sequence[str], path: Path, make_pipeline: Callable[[], beam.Pipeline]) -> Requests:
    """Runs the transform.

    Args:
      plan: what to build.
      patterns: globs of TFRecord shards; a name that ends with `.gz` means gzip.
      path: the file to write.
      make_pipeline: makes the Beam pipeline to run in.

    Raises:
      ExamplesError: no file, an unreadable one, no record in any of them, or none that a request can be built of.
    """
    paths = shards(patterns)
    with make_pipeline() as pipeline:
        pipeline | "Shards" >> beam.Create(paths) | "PrepareRequests" >> PrepareRequests(plan, path)
    summary = json.loads(_summary_path(path).read_text(encoding="utf-8"))
    if summary["problems"]:
        more = f", and {len(summary['problems']) - 1} more files likewise" if len(summary["problems"]) > 1 else ""
        raise errors.ExamplesError(f"{summary['problems'][0]}{more}. Write the examples anew, or leave the file out.")
    if not summary["records_read"]:
        raise errors.ExamplesError(f"The {len(paths)} files of {', '.join(patterns)} hold no record.")
    if not summary["count"]:
        causes = ", ".join(f"{count} {cause}" for cause, count in summary["dead_letters"].items())
        raise errors.ExamplesError(
            f"No request could be built of any sampled record of {', '.join(patterns)}: {causes}."
        )
    return Requests(path, summary["count"], summary["records_read"], summary["dead_letters"])


def _records(path: str) -> Iterator[bytes]:
    kinds = tf.compat.v1.io.TFRecordCompressionType
    compression = kinds.GZIP if _is_gzip(path) else kinds.NONE
    records: Iterator[bytes] = tf.compat.v1.io.tf_record_iterator(path, tf.compat.v1.io.TFRecordOptions(compression))
    return records


def _is_gzip(path: str) -> bool:
    return path.endswith(".gz")


def _has_its_end(path: str) -> bool:
    """Whether a gzip file is whole: TensorFlow's reader says nothing if it was cut where a record ends."""
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile):
        return False
    return True


def _valid_examples(records: Iterator[bytes], dead_letters: Counter[str]) -> Iterator[bytes]:
    for record in records:
        if builders.is_example(record):
            yield record
        else:
            dead_letters["not a tf.Example"] += 1


def _build(plan: Plan, records: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
    by_cell = {
        spec.Cell(signature.key, method, size): (signature, method)
        for signature, method in plan.targets
        for size in plan.batch_sizes
    }
    for cell, batch in coverage.groups(list(by_cell), plan.num_examples, records):
        signature, method = by_cell[cell]
        yield builders.build(signature, method, plan.model_name, batch)


def _summary_path(path: Path) -> Path:
    return path.with_name(path.name + ".summary.json")
