"""PredictionLogs on disk: the form in which requests pass between the stages.

A file is what TF Serving reads as `assets.extra/tf_serving_warmup_requests`: an uncompressed TFRecord of serialized
`tensorflow.serving.PredictionLog` (tensorflow_serving/apis/prediction_log.proto).
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

from google.protobuf import message

from infraval import errors, options, protos
from infraval.requests import tfrecords
from infraval.tensorflow_protos import input_pb2, prediction_log_pb2, tensor_pb2

_METHODS = {
    "predict_log": options.Method.PREDICT,
    "classify_log": options.Method.CLASSIFY,
    "regress_log": options.Method.REGRESS,
    "multi_inference_log": options.Method.MULTI_INFERENCE,
}
"""Members of `PredictionLog.log_type` that TF Serving's warmup replays, and the RPC of each."""

_ADVICE = (
    "TF Serving does not load a model with such a warmup file. Remove it from the model, or make a new one with "
    "--examples (examples) and --existing-warmup replace (warmup.existing)."
)


def write(path: Path, logs: Iterable[prediction_log_pb2.PredictionLog]) -> int:
    """Writes a file whole or not at all; the same logs always give the same bytes. Returns the number of logs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    count = tfrecords.write(unfinished, map(serialize, logs))
    unfinished.replace(path)
    return count


def serialize(log: prediction_log_pb2.PredictionLog) -> bytes:
    """The bytes of a log, the same for equal logs: map fields have no order of their own."""
    serialized: bytes = log.SerializeToString(deterministic=True)
    return serialized


def read(path: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    """Reads a file log by log.

    Raises:
      ModelError: it cannot be read, is not an uncompressed TFRecord, or a record is not a PredictionLog.
    """
    position = 0
    try:
        for record in itertools.chain.from_iterable(tfrecords.read(path, is_gzip=False)):
            position += 1
            log = prediction_log_pb2.PredictionLog()
            protos.parse(record, log)
            yield log
    except tfrecords.CorruptError as error:
        raise refused(
            f"{path} is corrupt after record {error.records}, or is not an uncompressed TFRecord: {error.fault}."
        ) from None
    except OSError as error:
        raise errors.ModelError(f"{path} cannot be read ({error.strerror}).", code="model/warmup-file") from None
    except message.DecodeError:
        raise refused(f"Record {position} of {path} is not a PredictionLog.") from None


class Logs(Sequence[prediction_log_pb2.PredictionLog]):
    """Logs in files, each of which is read when it is asked for.

    Args:
      places: the path of each log's file, and where in it the log begins and how many bytes it has.
    """

    def __init__(self, places: Sequence[tuple[Path, int, int]] = ()) -> None:
        self._places = tuple(places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, position: int) -> prediction_log_pb2.PredictionLog: ...
    @overload
    def __getitem__(self, position: slice) -> Logs: ...
    def __getitem__(self, position: int | slice) -> prediction_log_pb2.PredictionLog | Logs:
        if isinstance(position, slice):
            return Logs(self._places[position])
        path, start, size = self._places[position]
        with path.open("rb") as file:
            return prediction_log_pb2.PredictionLog.FromString(os.pread(file.fileno(), size, start))

    def __add__(self, others: Logs) -> Logs:
        return Logs((*self._places, *others._places))


def find(path: Path, count: int) -> Logs:
    """The first logs of a file that has at least so many, and that must stay as it is while they are in use."""
    places, start = [], 0
    for record in itertools.islice(itertools.chain.from_iterable(tfrecords.read(path, is_gzip=False)), count):
        places.append((path, start + tfrecords.HEADER_BYTES, len(record)))
        start += tfrecords.FRAME_BYTES + len(record)
    return Logs(places)


def refused(why: str) -> errors.ModelError:
    """The error for a warmup file that came with a model and that TF Serving will not take."""
    return errors.ModelError(f"{why} {_ADVICE}", code="model/warmup-file")


def cell(log: prediction_log_pb2.PredictionLog, constants: Collection[str] = ()) -> options.Cell | None:
    """Which cell a log covers; None for a kind that TF Serving's warmup does not replay.

    Args:
      log: the request.
      constants: inputs that are known not to be the batch, `SIGNATURE/INPUT` each.
    """
    method = _METHODS.get(log.WhichOneof("log_type"))
    if method is None:
        return None
    request = getattr(log, f"{method.value}_log").request
    signature = ",".join(signatures(log))
    if method is options.Method.PREDICT:
        batch = {alias: tensor for alias, tensor in request.inputs.items() if f"{signature}/{alias}" not in constants}
        return options.Cell(signature, method, _tensor_batch_size(batch))
    return options.Cell(signature, method, _example_count(request.input))


def signatures(log: prediction_log_pb2.PredictionLog) -> list[str]:
    """The signatures that a log calls; none for a kind that TF Serving's warmup does not replay."""
    method = _METHODS.get(log.WhichOneof("log_type"))
    if method is None:
        return []
    request = getattr(log, f"{method.value}_log").request
    called = request.tasks if method is options.Method.MULTI_INFERENCE else [request]
    return [_signature(each.model_spec) for each in called]


def _signature(model_spec: object) -> str:
    return getattr(model_spec, "signature_name", "") or options.DEFAULT_SIGNATURE


def _tensor_batch_size(inputs: Mapping[str, tensor_pb2.TensorProto]) -> int:
    """Dimension 0 of most inputs, or of the first by name if no size is more frequent; 0 if there are only scalars."""
    sizes = [int(tensor.tensor_shape.dim[0].size) for _, tensor in sorted(inputs.items()) if tensor.tensor_shape.dim]
    return Counter(sizes).most_common(1)[0][0] if sizes else 0


def _example_count(examples: input_pb2.Input) -> int:
    kind = examples.WhichOneof("kind")
    return len(getattr(examples, kind).examples) if kind else 0
