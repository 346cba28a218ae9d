"""What is refused before anything costly is done: a warmup file that came with the model and cannot be served."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, options
from infraval.requests import inspection, preparation


def _records(path: Path, *records: bytes) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _cut(path: Path) -> None:
    _records(path, b"", b"")
    path.write_bytes(path.read_bytes()[:-3])


def _claims_an_exbibyte(path: Path) -> None:
    """As a fuzzer found it: the length's checksum is right, and TensorFlow's reader dies of it."""
    length = struct.pack("<Q", 2**60)
    crc = google_crc32c.value(length)
    masked = ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
    path.write_bytes(length + struct.pack("<I", masked) + bytes(100))


def _too_many(path: Path) -> None:
    _records(path, *[prediction_log_pb2.PredictionLog().SerializeToString()] * 1001)


def _no_logs(path: Path) -> None:
    _records(path, b"\xff not a PredictionLog")


UNREADABLE = [_cut, _claims_an_exbibyte, _no_logs]


@pytest.fixture
def model(sink_model: Path, tmp_path: Path) -> Path:
    """A copy that may be given a warmup file."""
    shutil.copytree(sink_model, tmp_path / "model")
    (tmp_path / "model" / options.WARMUP_FILE).parent.mkdir()
    return tmp_path / "model"


def _job(model: Path, examples: Path, existing: str) -> options.Job:
    if existing == "load-only":
        return options.Job(model=model)
    if existing == "no-warmup":
        return options.Job(model=model, examples=(str(examples),), make_warmup=False)
    return options.Job(model=model, examples=(str(examples),), warmup=options.WarmupOptions(existing=existing))


@pytest.mark.parametrize("break_file", [*UNREADABLE, _too_many])
def test_a_broken_warmup_file_that_came_with_the_model(
    break_file: Callable[[Path], None], model: Path, sink_examples: Path
) -> None:
    """One answer, which names the user's file and the way out; if it is replaced, it does not matter."""
    path = model / options.WARMUP_FILE
    break_file(path)
    messages = set()
    for existing in ("merge", "keep", "no-warmup", "load-only"):
        with pytest.raises(errors.ModelError) as caught:
            preparation.select(_job(model, sink_examples, existing))
        assert caught.value.code == "model/warmup-file"
        messages.add(str(caught.value))
    (message,) = messages
    assert str(path) in message
    assert "--existing-warmup replace" in message
    assert preparation.select(_job(model, sink_examples, "replace")).targets


@pytest.mark.parametrize("break_file", UNREADABLE)
def test_inspection_refuses_it_as_well(break_file: Callable[[Path], None], model: Path) -> None:
    """It cannot say what the file covers."""
    break_file(model / options.WARMUP_FILE)
    with pytest.raises(errors.ModelError) as caught:
        inspection.inspect(model)
    assert caught.value.code == "model/warmup-file"


def test_examples_that_claim_an_exbibyte(sink_model: Path, tmp_path: Path) -> None:
    """The same for the examples, before any server starts."""
    _claims_an_exbibyte(tmp_path / "examples")
    with pytest.raises(errors.ExamplesError) as caught:
        preparation.select(options.Job(model=sink_model, examples=(str(tmp_path / "examples"),)))
    assert caught.value.code == "examples/corrupt"


def test_a_whole_file_of_a_thousand_records_is_fine(model: Path) -> None:
    """As many as TensorFlow Serving takes."""
    _records(model / options.WARMUP_FILE, *[prediction_log_pb2.PredictionLog().SerializeToString()] * 1000)
    assert preparation.select(options.Job(model=model)).targets == ()


def _log(key: str, method: str) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, f"{method}_log").request
    spec = request.tasks.add().model_spec if method == "multi_inference" else request.model_spec
    spec.signature_name = key
    return log.SerializeToString()


@pytest.mark.parametrize("method", ["predict", "classify", "regress", "multi_inference"])
@pytest.mark.parametrize(("key", "known"), [("classify", True), ("", True), ("of another model", False)])
def test_a_warmup_record_of_another_model(method: str, key: str, known: bool, model: Path, sink_examples: Path) -> None:
    """TensorFlow Serving would not load the model: said before any server starts, with the number of the record."""
    _records(model / options.WARMUP_FILE, _log("classify", "predict"), _log(key, method))
    for existing in ("merge", "keep", "load-only"):
        job = _job(model, sink_examples, existing)
        if known:
            preparation.select(job)
            continue
        with pytest.raises(errors.ModelError, match=r"^Record 2 of .*signature 'of another model'") as caught:
            preparation.select(job)
        assert caught.value.code == "model/warmup-file"
    assert preparation.select(_job(model, sink_examples, "replace")).targets


@pytest.mark.parametrize(
    ("case", "warned"),
    [
        ("variables_missing", True),
        ("variables_missing_tf1", True),
        ("variables_no_index_tf1", True),
        ("variables_truncated_tf1", False),
        ("counter", False),
        ("inputs", False),
    ],
)
def test_variables_without_values(case: str, warned: bool, odd_models: Path) -> None:
    """The real server loads these models, and fails requests that read a variable (golden/models.json)."""
    warnings = preparation.select(options.Job(model=odd_models / case / "1")).warnings
    assert len(warnings) == warned
    assert all("variables.index" in warning for warning in warnings)


def test_a_graph_without_variables_needs_no_values(model: Path) -> None:
    """As a model of constants, whose export has an index or none."""
    proto = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    shutil.rmtree(model / "variables", ignore_errors=True)
    for meta_graph in proto.meta_graphs:
        del meta_graph.graph_def.node[:]
        del meta_graph.graph_def.library.function[:]
    (model / "saved_model.pb").write_bytes(proto.SerializeToString())
    assert preparation.select(options.Job(model=model)).warnings == ()


@pytest.mark.parametrize("location", ["gs://bucket/model", "s3://bucket/model"])
def test_a_model_at_a_uri(location: str) -> None:
    """Not taken for a local path with a typo."""
    with pytest.raises(errors.ModelError, match="WarmupInfraValidator takes URIs") as caught:
        preparation.select(options.Job(model=location))
    assert caught.value.code == "model/missing"
