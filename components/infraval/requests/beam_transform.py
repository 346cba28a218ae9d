"""Beam's way to read many shards: wherever the pipeline's runner has its workers.

A worker may run on another machine with another Python, so only data is exchanged: what is wrong with the examples
comes back as a field of the harvest, not as an exception that a runner would wrap.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
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

_ALL = "all"
"""What the file with the harvest of all shards is called."""

_MERGED_AT_ONCE = 32
"""Harvests that are merged one after the other, without merging parts of them side by side first."""


class ReadShard(beam.DoFn):
    """Path of a TFRecord shard -> path of a file with its harvest; both as bytes.

    Harvests, which may have hundreds of MiB, pass through files because runners hold several copies of what passes
    through themselves, some of them in one process. The name of the file depends on the shard alone: a bundle that is
    run again, or twice, replaces it by the same.
    """

    def __init__(self, plan: making.Plan, folder: str) -> None:
        self._plan = plan
        self._folder = folder

    def process(self, path: bytes) -> Iterator[bytes]:
        """One path for each path."""
        read = self._plan.empty_harvest()
        read.read([os.fsdecode(path)], self._plan.records_per_shard)
        yield _write(read, f"{self._folder}/shard-{_digest(path).hex()}")


class MergeHarvests(beam.DoFn):
    """Number of a part, and paths of files with harvests -> path of a file with the harvest of all of them."""

    def __init__(self, plan: making.Plan, folder: str, name: str) -> None:
        self._plan = plan
        self._folder = folder
        self._name = name

    def process(self, part: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
        """One path for each part."""
        number, paths = part
        merged = self._plan.empty_harvest()
        for path in paths:
            try:
                _read(os.fsdecode(path), merged)
            except errors.ExamplesError as error:
                merged.problems += ((error.code, str(error)),)
        yield _write(merged, f"{self._folder}/{self._name}-{number}")


def _write(whole: harvest.Harvest, path: str) -> bytes:
    """Writes a harvest, not with Beam's own TFRecord sink: with some runners it reports success and writes nothing."""
    with storage.writing(path) as file:
        tfrecords.write_to(file, whole.dump())
    return os.fsencode(path)


def _read(path: str, into: harvest.Harvest) -> None:
    """Reads back a harvest, and adds it to another.

    Raises:
      ExamplesError: it is not there, or cannot be read.
    """
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
            into.add(tfrecords.read_from(file))
    except (OSError, tfrecords.CorruptError, ValueError) as error:
        raise errors.ExamplesError(
            f"The result of Beam's workers cannot be read from {path}: {storage.cause(error)}.",
            code="examples/no-result",
        ) from error


def _digest(path: bytes) -> bytes:
    return hashlib.blake2b(path, digest_size=16).digest()


class Collect(beam.PTransform):
    """Paths of TFRecord shards, as bytes -> the path of one file with the harvest of all of them.

    Args:
      plan: what is to be built of the records.
      folder: path or URI of a directory in which the workers can write, for the files.
      parts: in how many parts the harvests are merged first, side by side.
    """

    def __init__(self, plan: making.Plan, folder: str, parts: int = 1) -> None:
        super().__init__()
        self._plan = plan
        self._folder = folder
        self._parts = parts

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        """Reads and samples in parallel, merges in parts, and then in one place."""
        harvests = paths | beam.Reshuffle() | "ReadShard" >> beam.ParDo(ReadShard(self._plan, self._folder))
        if self._parts > 1:
            harvests |= "MergeParts" >> _Merge(self._plan, self._folder, "part", self._parts)
        return harvests | "MergeAll" >> _Merge(self._plan, self._folder, _ALL, 1)


class _Merge(beam.PTransform):
    def __init__(self, plan: making.Plan, folder: str, name: str, parts: int) -> None:
        super().__init__()
        self._merge = MergeHarvests(plan, folder, name)
        self._parts = parts

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        parts = self._parts

        def part_of(path: bytes) -> int:
            return int.from_bytes(_digest(path), "big") % parts

        return paths | beam.WithKeys(part_of) | beam.GroupByKey() | beam.ParDo(self._merge)


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
    """Reads all shards with a pipeline, whose results pass through files.

    Args:
      plan: what is to be built of the records.
      paths: of the shards, or URIs.
      directory: for temporary files of this process.
      make_pipeline: makes the pipeline.
      result_in: where the results pass through, in a folder of its own that is removed: a path or URI that the workers
        of the pipeline's runner can read and write; `directory` by default.

    Raises:
      ExamplesError: the job fails on the runner's side, or its workers write where this process finds nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _folder(result_in or str(directory)) as folder:
        # The files of n shards are merged in about as many parts as each part has files.
        parts = math.isqrt(len(paths)) if len(paths) > _MERGED_AT_ONCE else 1
        with (
            _no_traceback_of_a_signal(),
            _no_sampler_left(),
            _lost_workers_told(),
            _made_in(directory, make_pipeline) as pipeline,
        ):
            (
                pipeline
                | "Shards" >> beam.Create([os.fsencode(path) for path in paths])
                | "Collect" >> Collect(plan, folder, parts)
            )
        whole = plan.empty_harvest()
        _read(f"{folder}/{_ALL}-0", whole)
        return whole


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
