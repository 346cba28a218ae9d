"""Real taxi Examples, split up again as a test needs them, and the way from shards to requests."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from infraval import options
from infraval.requests import beam_transform, graph, making, processes, shards, signatures, targets


@pytest.fixture(scope="session")
def taxi_records(taxi_examples: Path) -> list[bytes]:
    """The 424 distinct serialized tf.Examples of one shard, read without TensorFlow."""
    content = gzip.decompress((taxi_examples / "Split-eval" / "data_tfrecord-00000-of-00012.gz").read_bytes())
    records, position = [], 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        records.append(content[position + 12 : position + 12 + length])
        position += length + 16
    return records


@pytest.fixture
def write_shards(tmp_path: Path) -> Callable[..., str]:
    """Deals records out to shards in a folder of their own; returns the glob of them."""

    def write(records: Sequence[bytes], shards: int = 1, folder: str = "examples", suffix: str = ".gz") -> str:
        (tmp_path / folder).mkdir()
        given = tf.io.TFRecordOptions(compression_type="GZIP" if suffix == ".gz" else "")
        for shard in range(shards):
            name = f"data_tfrecord-{shard:05d}-of-{shards:05d}{suffix}"
            with tf.io.TFRecordWriter(str(tmp_path / folder / name), given) as writer:
                for record in records[shard::shards]:
                    writer.write(record)
        return str(tmp_path / folder / "data_tfrecord-*")

    return write


@pytest.fixture(scope="session")
def make_plan(taxi_model: Path) -> Callable[..., making.Plan]:
    """A plan to call signatures of a model, `predict` of the taxi model by default."""

    def make(
        *keys: str,
        model: Path = taxi_model,
        pairs: tuple[str, ...] = (),
        features: tuple[str, ...] = (),
        records: Sequence[bytes] = (),
        batch_sizes: tuple[int, ...] = (1,),
        num_examples: int = 1,
        seed: int = 0,
        share: float = 0.1,
    ) -> making.Plan:
        requests = options.RequestOptions(signatures=keys or ("predict",), multi_inference=pairs, features=features)
        called, _ = targets.resolve(
            requests, signatures.read(model), records, batch_sizes, graph.of(signatures.meta_graph(model))
        )
        return making.Plan(tuple(called), batch_sizes, num_examples, seed, "model", share)

    return make


@pytest.fixture
def prepare(tmp_path: Path, make_plan: Callable[..., making.Plan]) -> Callable[..., making.Requests]:
    """Prepares requests from shards: in the client's own way, with Beam in this process, or with pipeline options."""

    def run(
        pattern: str, *keys: str, beam_too: bool = False, given: Sequence[str] = (), name: str = "requests", **of: Any
    ) -> making.Requests:
        def make_pipeline() -> beam.Pipeline:
            return beam.Pipeline(options=PipelineOptions(list(given))) if given else beam_transform.in_memory_pipeline()

        plan, paths, path = make_plan(*keys, **of), shards.find([pattern]), tmp_path / name
        if given or beam_too:
            harvest = beam_transform.collect(plan, paths, path.parent, make_pipeline)
        else:
            harvest = processes.collect(plan, paths)
        return making.make(plan, harvest, path)

    return run
