"""PredictionLogs on disk: an inverse pair, equal bytes for equal logs, and no content in what is said of bad files."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2, model_pb2, predict_pb2, prediction_log_pb2

from infraval import errors, options
from infraval.requests import prediction_logs

SECRET = b"Grace.Hopper.1906"
GRPC = json.loads((Path(__file__).parent.parent / "golden" / "grpc.json").read_text(encoding="utf-8"))["cases"]


def make_log(key: str, shapes: dict[str, list[int]], values: list[bytes]) -> prediction_log_pb2.PredictionLog:
    """A Predict log with string inputs of these shapes, put into the map in this order."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = key
    for alias, shape in shapes.items():
        tensor = log.predict_log.request.inputs[alias]
        tensor.string_val.extend(values)
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
    return log


LOGS = st.lists(
    st.builds(
        make_log,
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=5), st.lists(st.integers(-1, 9), max_size=3), max_size=4),
        st.lists(st.binary(max_size=9), max_size=3),
    ),
    max_size=5,
)


@pytest.fixture
def write_records(tmp_path: Path) -> Callable[..., Path]:
    """A TFRecord of these records."""

    def write(records: Sequence[bytes], compression: str = "") -> Path:
        path = tmp_path / "records"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
            for record in records:
                writer.write(record)
        return path

    return write


@pytest.fixture
def refused() -> Callable[[Path], str]:
    """The message of the ModelError that reading a file gives, once it has been seen to hold no secret."""

    def read(path: Path) -> str:
        with pytest.raises(errors.ModelError) as caught:
            list(prediction_logs.read(path))
        assert SECRET.decode() not in f"{caught.value} {caught.value.__cause__}"
        assert str(path) in str(caught.value)
        return str(caught.value)

    return read


@given(LOGS)
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, logs: list[prediction_log_pb2.PredictionLog]
) -> None:
    """Any logs, in their order; the count is right and nothing else is left in the folder."""
    path = tmp_path_factory.mktemp("logs") / "assets.extra" / "logs"
    assert prediction_logs.write(path, iter(logs)) == len(logs)
    assert list(prediction_logs.read(path)) == logs
    assert list(path.parent.iterdir()) == [path]


@given(aliases=st.lists(st.text(max_size=8), min_size=2, max_size=8, unique=True), data=st.data())
def test_equal_logs_give_equal_bytes(aliases: list[str], data: st.DataObject) -> None:
    """Whatever the order that the inputs went into their map."""
    shuffled = data.draw(st.permutations(aliases))
    one, other = (make_log("s", {alias: [1] for alias in order}, [b"x"]) for order in (aliases, shuffled))
    assert prediction_logs.serialize(one) == prediction_logs.serialize(other)


def test_equal_examples_give_equal_bytes(tmp_path: Path) -> None:
    """The feature map of a Classify request's Examples has no order of its own either."""
    names = [f"feature{number}" for number in range(20)]
    files = set()
    for turn in range(len(names)):
        example = example_pb2.Example()
        for name in names[turn:] + names[:turn]:
            example.features.feature[name].int64_list.value.append(1)
        log = prediction_log_pb2.PredictionLog()
        log.classify_log.request.input.example_list.examples.append(example)
        prediction_logs.write(tmp_path / "logs", [log])
        files.add((tmp_path / "logs").read_bytes())
    assert len(files) == 1


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """Whole or not at all: what was there before is there, and reads."""

    def failing() -> Any:
        yield make_log("new", {"x": [1]}, [b"x"])
        raise InterruptedError

    path = tmp_path / "logs"
    old = [make_log("old", {"x": [1]}, [b"x"])]
    prediction_logs.write(path, old)
    with pytest.raises(InterruptedError):
        prediction_logs.write(path, failing())
    assert list(prediction_logs.read(path)) == old


def test_the_file_is_an_uncompressed_tfrecord(tmp_path: Path) -> None:
    """Read back with TensorFlow's own reader, as TF Serving does."""
    logs = [make_log("s", {"x": [1]}, [b"1"]), make_log("s", {"x": [1]}, [b"2"])]
    prediction_logs.write(tmp_path / "logs", logs)
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "logs"))]
    assert [prediction_log_pb2.PredictionLog.FromString(record) for record in records] == logs


def test_a_compressed_file_is_refused(write_records: Callable[..., Path], refused: Callable[[Path], str]) -> None:
    """TF Serving reads gzip as data loss, so infraval does not take it for good."""
    assert "not an uncompressed TFRecord" in refused(write_records([SECRET], "GZIP"))


def test_a_corrupt_file_is_refused_after_its_good_records(
    write_records: Callable[..., Path], refused: Callable[[Path], str]
) -> None:
    """A flipped byte, a cut end, something else entirely: the message counts what could be read."""
    good = make_log("s", {"x": [1]}, [SECRET]).SerializeToString()
    content = write_records([good, good]).read_bytes()
    flipped = bytearray(content)
    flipped[-10] ^= 1
    path = write_records([])
    for damaged in (bytes(flipped), content[:-10]):
        path.write_bytes(damaged)
        assert "corrupt after record 1" in refused(path)
    path.write_bytes(SECRET * 3)
    assert "corrupt after record 0" in refused(path)


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
@pytest.mark.parametrize("record", [b"\xff\xff" + SECRET, SECRET, b"the name is " + SECRET])
def test_a_record_of_another_kind_is_refused(
    record: bytes, write_records: Callable[..., Path], refused: Callable[[Path], str]
) -> None:
    """Also text that protobuf 3.20 would read up to its first stray tag; the message names the record by number."""
    assert "Record 2 of" in refused(write_records([b"", record]))


def test_what_is_no_file_is_refused(tmp_path: Path, refused: Callable[[Path], str]) -> None:
    """A directory by that name, or nothing."""
    assert "cannot be read" in refused(tmp_path)
    assert "cannot be read" in refused(tmp_path / "missing")


def test_a_file_of_no_records_is_empty(tmp_path: Path) -> None:
    """TF Serving takes it, and so does infraval."""
    assert prediction_logs.write(tmp_path / "logs", []) == 0
    assert list(prediction_logs.read(tmp_path / "logs")) == []


GOLDEN_CELLS = {
    "taxi_predict": options.Cell("predict", options.Method.PREDICT, 4),
    "taxi_classification": options.Cell("classification", options.Method.CLASSIFY, 4),
    "taxi_default": options.Cell("serving_default", options.Method.CLASSIFY, 4),
    "taxi_regression": options.Cell("regression", options.Method.REGRESS, 4),
    "taxi_both": options.Cell("classification,regression", options.Method.MULTI_INFERENCE, 4),
}
"""What the recorded taxi cases touch; `taxi_default` leaves the signature's name empty."""


@pytest.mark.parametrize("case", GOLDEN_CELLS)
def test_the_cell_of_a_recorded_request(case: str) -> None:
    """Each RPC that warmup replays, by a request that a real server answered."""
    recorded = next(recorded for recorded in GRPC if recorded["case"] == case)
    log = prediction_log_pb2.PredictionLog()
    field = f"{GOLDEN_CELLS[case].method.value}_log"
    getattr(log, field).request.ParseFromString(base64.b64decode(recorded["request"]))
    assert prediction_logs.cell(log) == GOLDEN_CELLS[case]


def test_kinds_that_warmup_does_not_replay_touch_no_cell() -> None:
    """Of an empty record, SessionRun and PredictStreamed there is nothing to cover."""
    empty = prediction_log_pb2.PredictionLog()
    session_run = prediction_log_pb2.PredictionLog()
    session_run.session_run_log.SetInParent()
    streamed = prediction_log_pb2.PredictionLog()
    streamed.predict_streamed_log.SetInParent()
    assert [prediction_logs.cell(log) for log in (empty, session_run, streamed)] == [None, None, None]


def test_the_batch_size_of_odd_requests() -> None:
    """Scalars and no inputs have none; the size that most inputs have counts, else the first by name."""
    for shapes, size in (
        ({"x": []}, 0),
        ({}, 0),
        ({"b": [7, 2], "a": [3]}, 3),
        ({"a": [3], "b": [7, 2]}, 3),
        ({"a": [], "b": [7, 2]}, 7),
        ({"a": [3], "b": [7, 2], "c": [7]}, 7),
    ):
        cell = prediction_logs.cell(make_log("s", shapes, []))
        assert cell == options.Cell("s", options.Method.PREDICT, size)


@given(size=st.integers(1, 9), constants=st.dictionaries(st.text("abz", min_size=1), st.integers(1, 9), max_size=3))
def test_a_constant_is_not_the_batch(size: int, constants: dict[str, int]) -> None:
    """Whatever its size and name; of another signature, it is."""
    constants.pop("x", None)
    log = make_log("s", {"x": [size, 2], **{alias: [length] for alias, length in constants.items()}}, [])
    known = [f"s/{alias}" for alias in constants]
    assert prediction_logs.cell(log, known) == options.Cell("s", options.Method.PREDICT, size)
    others = [f"t/{alias}" for alias in (*constants, "x")]
    assert prediction_logs.cell(log, others) == prediction_logs.cell(log)


def test_the_examples_of_a_request_with_context_count() -> None:
    """Both kinds of Input hold examples; a request may also hold neither."""
    examples = [example_pb2.Example()] * 3
    kinds = (
        (input_pb2.Input(example_list_with_context=input_pb2.ExampleListWithContext(examples=examples)), 3),
        (input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples[:2])), 2),
        (input_pb2.Input(), 0),
    )
    for examples_input, count in kinds:
        log = prediction_log_pb2.PredictionLog()
        log.regress_log.request.input.CopyFrom(examples_input)
        assert prediction_logs.cell(log) == options.Cell("serving_default", options.Method.REGRESS, count)


def test_name_and_version_are_no_part_of_a_cell() -> None:
    """TF Serving ignores both in a warmup record."""
    logs = [
        prediction_log_pb2.PredictionLog(
            predict_log=prediction_log_pb2.PredictLog(request=predict_pb2.PredictRequest(model_spec=model_spec))
        )
        for model_spec in (model_pb2.ModelSpec(name="a"), model_pb2.ModelSpec(name="b", version_label="stable"))
    ]
    assert prediction_logs.cell(logs[0]) == prediction_logs.cell(logs[1])


@given(logs=LOGS, count=st.integers(0, 5))
def test_logs_are_found_in_their_file(logs: list[Any], count: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a sequence, each at its position, and joined with those of another file."""
    path, other = (tmp_path_factory.getbasetemp() / name for name in ("some_logs", "other_logs"))
    prediction_logs.write(path, logs)
    prediction_logs.write(other, logs[::-1])
    found = prediction_logs.find(path, count)
    assert list(found) == logs[:count]
    assert list(found[1:]) == logs[:count][1:]
    assert list(found + prediction_logs.find(other, len(logs))) == logs[:count] + logs[::-1]
    assert [found[position] for position in range(len(found))] == logs[:count]
