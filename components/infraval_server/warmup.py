"""Replay of the warmup file (source: servables/tensorflow/saved_model_warmup_util.cc and saved_model_warmup.cc)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from infraval_server import log, metrics, requests, status, wire

_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000

_HANDLERS: Mapping[str, requests.Handler] = {
    "predict_log": requests.predict,
    "classify_log": requests.classify,
    "regress_log": requests.regress,
    "multi_inference_log": requests.multi_inference,
}


def replay(servable: requests.Servable, model_path: Path, iterations: int) -> None:
    """Sends every record of the model's warmup file, if there is one, in order.

    A record without `log_type` is counted and warms nothing; model name, version and label of a record are ignored.

    Args:
      servable: what answers.
      model_path: directory of the SavedModel.
      iterations: times each record is sent; 0 for once.

    Raises:
      StatusError: a record cannot be read or answered, or there are over 1000.
    """
    path = model_path / _FILE
    if not path.exists():
        log.info(f"No warmup data file found at {path}")
        return
    # A ModelWarmupOptions proto as text: empty, or of three lines.
    options = f"num_request_iterations {{\n  value: {iterations}\n}}\n" if iterations > 0 else ""
    log.info(f"Starting to read warmup data for model at {path} with model-warmup-options {options}")
    start_s = time.perf_counter()
    count = 0
    for record in _records(path):
        prediction_log = _parse(record, path)
        for _ in range(max(iterations, 1)):
            _send(servable, prediction_log)
        count += 1
        if count > _MAX_RECORDS:
            raise status.invalid_argument(f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {path}")
    elapsed_micros = metrics.micros_since(start_s)
    metrics.WARMUP_LATENCY.record(str(model_path), "OK", micros=elapsed_micros)
    metrics.WARMUP_RECORDS.add(str(model_path), "OK", by=count)
    log.info(
        f"Finished reading warmup data for model at {path}. Number of warmup records read: {count}. "
        f"Elapsed time (microseconds): {elapsed_micros}."
    )


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.compat.v1.io.tf_record_iterator(str(path))
    except tf.errors.DataLossError as error:
        raise status.StatusError(
            status.Code.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from error
    except tf.errors.OpError as error:
        raise status.StatusError(status.Code(error.error_code), error.message) from error


def _parse(record: bytes, path: Path) -> Any:
    prediction_log = prediction_log_pb2.PredictionLog()
    try:
        wire.parse(record, prediction_log)
    except DecodeError:
        shown = record.decode(errors="surrogateescape")
        raise status.invalid_argument(f"Failed to parse warmup record: {shown} from {path}") from None
    return prediction_log


def _send(servable: requests.Servable, prediction_log: Any) -> None:
    kind = prediction_log.WhichOneof("log_type")
    if kind is None:
        return
    handler = _HANDLERS.get(kind)
    if handler is None:
        number = prediction_log.DESCRIPTOR.fields_by_name[kind].number
        raise status.StatusError(status.Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    handler(servable, getattr(prediction_log, kind).request)
