"""Session batching: reads and checks the parameters, and pads what is run to an allowed batch size.

Source: servables/tensorflow/bundle_factory_util.cc, batching/batching_session.cc, and TensorFlow's
shared_batch_scheduler.h. Each request is a batch of its own; concurrent ones are not joined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from infraval_server import log, model, status, tensors

_DEFAULT_MAX_BATCH_SIZE = 1000
"""SharedBatchScheduler::QueueOptions::input_batch_size_limit."""

_MESSAGE_NAME = "tensorflow.serving.BatchingParameters"

_FIELDS: tuple[tuple[str, int, Any], ...] = (
    ("max_batch_size", 1, wrappers_pb2.Int64Value),
    ("batch_timeout_micros", 2, wrappers_pb2.Int64Value),
    ("max_enqueued_batches", 3, wrappers_pb2.Int64Value),
    ("num_batch_threads", 4, wrappers_pb2.Int64Value),
    ("thread_pool_name", 5, wrappers_pb2.StringValue),
    ("enable_large_batch_splitting", 8, wrappers_pb2.BoolValue),
    ("max_execution_batch_size", 9, wrappers_pb2.Int64Value),
)
"""Fields that are wrapper messages: name, number, type (session_bundle_config.proto, which no wheel carries)."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What a BatchingParameters proto says about the sizes of batches.

    Attributes:
      max_batch_size: examples in the largest request.
      allowed_batch_sizes: sizes that are run; empty for any.
      max_execution_batch_size: larger requests are split into runs of this size; None for no splitting.
      batch_timeout_micros: only checked.
    """

    max_batch_size: int = _DEFAULT_MAX_BATCH_SIZE
    allowed_batch_sizes: tuple[int, ...] = ()
    max_execution_batch_size: int | None = None
    batch_timeout_micros: int = 0


def read_parameters(path: str) -> Parameters:
    """Reads `--batching_parameters_file`.

    Raises:
      StatusError: the file cannot be read, is no BatchingParameters text proto, or asks for no threads.
    """
    proto = _message_class()()
    try:
        text_format.Parse(Path(path).read_bytes(), proto)
    except OSError as error:
        raise status.from_os_error(error, path) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        log.error(f"Error parsing text-format {_MESSAGE_NAME}: {error}")
        raise status.invalid_argument(f"Invalid protobuf file: '{path}'") from None
    values = {name: getattr(proto, name).value for name, _, _ in _FIELDS if proto.HasField(name)}
    if values.get("num_batch_threads", 1) < 1:
        raise status.invalid_argument(f"num_batch_threads must be positive; was {values['num_batch_threads']}")
    max_batch_size = values.get("max_batch_size", _DEFAULT_MAX_BATCH_SIZE)
    splitting = values.get("enable_large_batch_splitting", False)
    return Parameters(
        max_batch_size=max_batch_size,
        allowed_batch_sizes=tuple(proto.allowed_batch_sizes),
        max_execution_batch_size=values.get("max_execution_batch_size", max_batch_size) if splitting else None,
        batch_timeout_micros=values.get("batch_timeout_micros", 0),
    )


def _message_class() -> Any:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="infraval/server/batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    for name, number, wrapper in _FIELDS:
        message.field.add(
            name=name,
            number=number,
            label=field_type.LABEL_OPTIONAL,
            type=field_type.TYPE_MESSAGE,
            type_name=f".{wrapper.DESCRIPTOR.full_name}",
        )
    message.field.add(name="allowed_batch_sizes", number=6, label=field_type.LABEL_REPEATED, type=field_type.TYPE_INT64)
    message.field.add(
        name="pad_variable_length_inputs", number=7, label=field_type.LABEL_OPTIONAL, type=field_type.TYPE_BOOL
    )
    # A pool of its own: tensorflow_serving may come to ship the real file one day.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName(_MESSAGE_NAME)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # protobuf 3.20


def wrap(run: model.Run, parameters: Parameters) -> model.Run:
    """A `run` that batches.

    Raises:
      StatusError: the parameters contradict each other.
    """
    log.info("Wrapping session to perform batch processing")
    _check(parameters)
    return _BatchingRun(run, parameters)


def _check(parameters: Parameters) -> None:
    limit = parameters.max_batch_size
    if parameters.allowed_batch_sizes and parameters.allowed_batch_sizes[-1] != limit:
        raise status.invalid_argument(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{parameters.allowed_batch_sizes[-1]}; expected {limit}"
        )
    if limit == 0:
        raise status.invalid_argument("input_batch_size_limit must be positive; was 0")
    if parameters.batch_timeout_micros < 0:
        raise status.invalid_argument(
            f"batch_timeout_micros must be non-negative; was {parameters.batch_timeout_micros}"
        )
    if parameters.max_execution_batch_size is not None and limit < parameters.max_execution_batch_size:
        raise status.invalid_argument(
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            "max_execution_batch_size."
        )


class _BatchingRun:
    """See `wrap`."""

    def __init__(self, run: model.Run, parameters: Parameters) -> None:
        self._run = run
        self._parameters = parameters

    def __call__(self, feeds: model.Feeds, fetches: Sequence[str]) -> list[tensors.Array]:
        """See `model.Run`.

        Raises:
          StatusError: the feeds are no batch, the batch is too large, or the outputs are no batch of its size.
        """
        size = _batch_size([array for _, array in feeds])
        if size > self._parameters.max_batch_size:
            raise status.invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self._parameters.max_batch_size}"
            )
        step = self._parameters.max_execution_batch_size or max(size, 1)
        parts = [
            self._run_batch([(name, array[start : start + step]) for name, array in feeds], fetches)
            for start in range(0, max(size, 1), step)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _run_batch(self, feeds: model.Feeds, fetches: Sequence[str]) -> list[tensors.Array]:
        size = _batch_size([array for _, array in feeds])
        padded_size = self._round_up(size)
        outputs = self._run([(name, _pad(array, padded_size)) for name, array in feeds], fetches)
        for output in outputs:
            if output.ndim == 0:
                raise status.StatusError(status.Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
            if output.shape[0] != padded_size:
                raise status.StatusError(
                    status.Code.FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    "input tensors",
                )
        return [output[:size] for output in outputs]

    def _round_up(self, size: int) -> int:
        """The first allowed size that is large enough: the list's order counts, it need not ascend."""
        return next((allowed for allowed in self._parameters.allowed_batch_sizes if allowed >= size), size)


def _batch_size(arrays: Sequence[tensors.Array]) -> int:
    if not arrays:
        raise status.invalid_argument("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in arrays):
        raise status.invalid_argument("Batching Run() input tensors must have at least one dimension")
    sizes = {array.shape[0] for array in arrays}
    if len(sizes) > 1:
        raise status.invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return int(sizes.pop())


def _pad(array: tensors.Array, size: int) -> tensors.Array:
    """Repeats the first row, which is known to be a valid one; without any, the process ends as TensorFlow Serving's."""
    missing = size - array.shape[0]
    if missing and not array.shape[0]:
        log.fatal("Check failed: limit <= dim0_size (1 vs. 0)")
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array
