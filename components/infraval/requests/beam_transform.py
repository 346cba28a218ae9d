"""Beam's way to read many shards: wherever the pipeline's runner has its workers.

A worker may run on another machine with another Python, so only data is exchanged: what is wrong with the examples
comes back as a field of the harvest, not as an exception that a runner would wrap.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.runners.portability import fn_api_runner
from apache_beam.runners.worker import statesampler

from infraval import errors, signals, storage
from infraval.requests import harvest, making, tfrecords


class ReadShard(beam.DoFn):
    """Path of a TFRecord shard, as bytes -> its harvest, as bytes.

    Beam may send off the first part of an element while the rest is still being encoded, in another thread: with some
    runners it flushes buffers by the clock. What reads it then takes any byte for a length, and the machine's memory
    for it. Bytes are encoded at one go, unlike objects, whose pickling runs Python.
    """

    def __init__(self, plan: making.Plan) -> None:
        self._plan = plan

    def process(self, path: bytes) -> Iterator[bytes]:
        """One harvest for each path."""
        yield _packed(harvest.of_shards([os.fsdecode(path)], self._plan.empty_sample(), self._plan.records_per_shard))


class MergeHarvests(beam.CombineFn):
    """Harvests of shards -> the harvest of all of them; bytes, like all that leaves a bundle."""

    def __init__(self, plan: making.Plan) -> None:
        self._plan = plan

    def create_accumulator(self) -> harvest.Harvest:
        """Of no shard."""
        return harvest.Harvest(self._plan.empty_sample())

    def add_input(self, accumulator: harvest.Harvest, shard: bytes) -> harvest.Harvest:
        """Adds what is known of a shard."""
        accumulator.merge(self._unpacked(shard))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[harvest.Harvest | bytes]) -> harvest.Harvest:
        """Of all their shards."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(self._unpacked(accumulator))
        return merged

    def compact(self, accumulator: harvest.Harvest | bytes) -> bytes:
        """What is sent to another worker."""
        return accumulator if isinstance(accumulator, bytes) else _packed(accumulator)

    def extract_output(self, accumulator: harvest.Harvest | bytes) -> bytes:
        """What is written."""
        return self.compact(accumulator)

    def _unpacked(self, given: harvest.Harvest | bytes) -> harvest.Harvest:
        if isinstance(given, harvest.Harvest):
            return given
        return harvest.load_from(io.BytesIO(given), self._plan.empty_sample())


def _packed(whole: harvest.Harvest) -> bytes:
    """A harvest as the bytes of a TFRecord."""
    file = io.BytesIO()
    tfrecords.write_to(file, harvest.dump(whole))
    return file.getvalue()


class _Write(beam.DoFn):
    """The harvest of all shards -> a file of it, which a bundle that is run again, or twice, replaces by the same.

    Beam's own TFRecord sink is not used: with some runners it reports success and writes nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, whole: bytes) -> Iterator[str]:
        with storage.writing(self._path) as file:
            file.write(whole)
        yield self._path


class Collect(beam.PTransform):
    """Paths of TFRecord shards, as bytes -> one file with the harvest of all of them; yields its path."""

    def __init__(self, plan: making.Plan, path: str) -> None:
        super().__init__()
        self._plan = plan
        self._path = path

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        """Reads and samples in parallel, then writes in one place."""
        return (
            paths
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadShard" >> beam.ParDo(ReadShard(self._plan))
            | "MergeHarvests" >> beam.CombineGlobally(MergeHarvests(self._plan)).without_defaults()
            | "WriteHarvest" >> beam.ParDo(_Write(self._path))
        )


def in_memory_pipeline() -> beam.Pipeline:
    """A pipeline that runs in this process and leaves nothing behind.

    Beam's DirectRunner is not used: it first tries to download a Prism binary, and leaves temporary folders behind.
    """
    return beam.Pipeline(runner=fn_api_runner.FnApiRunner())


def collect(
    plan: making.Plan,
    paths: Sequence[str],
    directory: Path,
    make_pipeline: Callable[[], beam.Pipeline],
    result_in: str = "",
) -> harvest.Harvest:
    """Reads all shards with a pipeline, whose result passes through a file.

    Args:
      plan: what is to be built of the records.
      paths: of the shards, or URIs.
      directory: for temporary files of this process.
      make_pipeline: makes the pipeline.
      result_in: where the result passes through, in a folder of its own that is removed: a path or URI that the workers
        of the pipeline's runner can write; `directory` by default.

    Raises:
      ExamplesError: the job fails on the runner's side, or its workers write where this process finds nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _folder(result_in or str(directory)) as folder:
        path = f"{folder}/harvest"
        with (
            _no_traceback_of_a_signal(),
            _no_sampler_left(),
            _lost_workers_told(),
            _made_in(directory, make_pipeline) as pipeline,
        ):
            (
                pipeline
                | "Shards" >> beam.Create([os.fsencode(path) for path in paths])
                | "Collect" >> Collect(plan, path)
            )
        return _load(plan, path)


@contextlib.contextmanager
def _lost_workers_told() -> Iterator[None]:
    """A job service says that a job has failed, for example because it lost a worker, by a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if "failed in state" not in str(error):
            raise
        raise errors.ExamplesError(
            "Beam's job that reads the examples has failed, and its runner did not try again; its log says why. A "
            "worker may have been lost, for example for lack of memory. Run it again, or use another runner "
            "(--beam-arg=--runner, beam_pipeline_args).",
            code="examples/beam-failed",
        ) from error


def _load(plan: making.Plan, path: str) -> harvest.Harvest:
    try:
        if not storage.exists(path):
            where = "there" if storage.scheme(path) else "on this machine: the workers do not share its file system"
            raise errors.ExamplesError(
                f"Beam's workers have read the examples and written their result to {path}, but it is not {where}. Use "
                "an output (--beam-arg=--temp_location) at a URI that they and this machine can read and write, or a "
                "runner with workers on this machine (--beam-arg=--runner, beam_pipeline_args).",
                code="examples/no-result",
            )
        with storage.reading(path) as file:
            return harvest.load_from(file, plan.empty_sample())
    except (OSError, tfrecords.CorruptError, ValueError) as error:
        raise errors.ExamplesError(
            f"The result of Beam's workers cannot be read from {path}: {storage.cause(error)}.",
            code="examples/no-result",
        ) from error


@contextlib.contextmanager
def _folder(parent: str) -> Iterator[str]:
    """Names a folder that nobody else uses, and removes it if it is there afterwards."""
    folder = f"{parent.rstrip('/')}/{storage.SAMPLES}{uuid.uuid4().hex}"
    try:
        yield folder
    finally:
        with signals.deferred():
            storage.remove_folder(folder)


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
