"""Session batching: requests that come close together run as one batch, which is padded to an allowed size.

Source: servables/tensorflow/bundle_factory_util.cc, batching/batching_session.cc and batching_util.cc, and TensorFlow's
shared_batch_scheduler.h.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2

from infraval_server import log, model, status, tensors, text_proto, wire

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
      batch_timeout_micros: how long a batch waits for more requests.
      pad_variable_length_inputs: whether inputs of unequal shapes are padded with zeros or empty strings.
    """

    max_batch_size: int = _DEFAULT_MAX_BATCH_SIZE
    allowed_batch_sizes: tuple[int, ...] = ()
    max_execution_batch_size: int | None = None
    batch_timeout_micros: int = 0
    pad_variable_length_inputs: bool = False


def read_parameters(path: str) -> Parameters:
    """Reads `--batching_parameters_file`.

    Raises:
      StatusError: the file cannot be read, is not a BatchingParameters text proto, or asks for no threads.
    """
    proto = _message_class()()
    text_proto.read(path, proto)
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
        pad_variable_length_inputs=proto.pad_variable_length_inputs,
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
    return wire.message_class(pool, _MESSAGE_NAME)


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
        self._lock = threading.Lock()
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], _Queue] = {}

    def __call__(self, feeds: model.Feeds, fetches: Sequence[str]) -> list[tensors.Array]:
        """See `model.Run`.

        Raises:
          StatusError: the feeds are not a batch, the batch is too large, or the outputs are not a batch of its size.
        """
        size = _batch_size([array for _, array in feeds])
        if size > self._parameters.max_batch_size:
            raise status.invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self._parameters.max_batch_size}"
            )
        names = tuple(sorted(set(fetches)))
        step = self._parameters.max_execution_batch_size
        if step is None or size <= step:
            outputs = self._queue(feeds, names).run(feeds, size)
        else:
            parts = [
                self._run_batch([[(name, array[start : start + step]) for name, array in feeds]], names)[0]
                for start in range(0, size, step)
            ]
            outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        by_name = dict(zip(names, outputs, strict=True))
        return [by_name[name] for name in fetches]

    def _queue(self, feeds: model.Feeds, fetches: tuple[str, ...]) -> _Queue:
        key = (tuple(sorted(name for name, _ in feeds)), fetches)
        with self._lock:
            if key not in self._queues:
                parameters = self._parameters
                limit = parameters.max_execution_batch_size or parameters.max_batch_size
                run = functools.partial(self._run_batch, fetches=fetches)
                self._queues[key] = _Queue(run, limit, parameters.batch_timeout_micros / 1e6)
            return self._queues[key]

    def _run_batch(self, tasks: Sequence[model.Feeds], fetches: Sequence[str]) -> list[list[tensors.Array]]:
        """The outputs of each task, in the order of `fetches`."""
        columns = [sorted(feeds, key=lambda feed: feed[0]) for feeds in tasks]
        merged = []
        for column in zip(*columns, strict=True):
            name = column[0][0]
            merged.append((name, _merge(name, [array for _, array in column], self._parameters)))
        size = _batch_size([array for _, array in merged])
        padded_size = self._round_up(size)
        outputs = self._run([(name, _pad(array, padded_size)) for name, array in merged], fetches)
        for output in outputs:
            if output.ndim == 0:
                raise status.StatusError(status.Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
            if output.shape[0] != padded_size:
                raise status.StatusError(
                    status.Code.FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    "input tensors",
                )
        ends = itertools.accumulate(feeds[0][1].shape[0] for feeds in tasks)
        starts = (0, *ends)
        return [[output[start:end] for output in outputs] for start, end in itertools.pairwise(starts)]

    def _round_up(self, size: int) -> int:
        """The first allowed size that is large enough: the list's order counts, it need not ascend."""
        return next((allowed for allowed in self._parameters.allowed_batch_sizes if allowed >= size), size)


@dataclasses.dataclass(eq=False)
class _Batch:
    """Tasks that run together."""

    tasks: list[model.Feeds] = dataclasses.field(default_factory=list)
    size: int = 0
    closed: bool = False
    done: threading.Event = dataclasses.field(default_factory=threading.Event)
    outputs: list[list[tensors.Array]] = dataclasses.field(default_factory=list)
    failure: status.StatusError | None = None


class _Queue:
    """Joins tasks of one signature; the thread that begins a batch runs it, the others wait for it.

    Args:
      run: runs tasks as one batch.
      limit: size of the largest batch.
      timeout_s: how long a batch that is not full waits for more.
    """

    def __init__(
        self, run: Callable[[Sequence[model.Feeds]], list[list[tensors.Array]]], limit: int, timeout_s: float
    ) -> None:
        self._run = run
        self._limit = limit
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._open: _Batch | None = None

    def run(self, feeds: model.Feeds, size: int) -> list[tensors.Array]:
        """Runs one task of a size, with others if they come in time.

        Raises:
          StatusError: the batch failed, for whichever of its tasks.
        """
        with self._changed:
            if self._open is not None and self._open.size + size > self._limit:
                self._close(self._open)
            begins = self._open is None
            batch = self._open = self._open or _Batch()
            index = len(batch.tasks)
            batch.tasks.append(feeds)
            batch.size += size
            if batch.size == self._limit:
                self._close(batch)
            if begins:
                self._changed.wait_for(lambda: batch.closed, self._timeout_s)
                self._close(batch)
        if begins:
            try:
                batch.outputs = self._run(batch.tasks)
            except status.StatusError as error:
                batch.failure = error
            finally:
                batch.done.set()
        batch.done.wait()
        if batch.failure is not None:
            # Each thread raises an error of its own, for raising changes it.
            raise status.StatusError(batch.failure.code, batch.failure.message)
        return batch.outputs[index]

    def _close(self, batch: _Batch) -> None:
        batch.closed = True
        if self._open is batch:
            self._open = None
        self._changed.notify_all()


def _merge(name: str, arrays: Sequence[tensors.Array], parameters: Parameters) -> tensors.Array:
    """One input of all tasks."""
    first = arrays[0]
    for array in arrays:
        if array.shape[1:] != first.shape[1:] and (
            not parameters.pad_variable_length_inputs or array.ndim != first.ndim
        ):
            raise status.StatusError(
                status.Code.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. Set "
                "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
        if array.dtype != first.dtype:
            names = tensors.dtype_name(first.dtype), tensors.dtype_name(array.dtype)
            raise status.invalid_argument(
                f"Cannot concatenate tensors that have different data types. Got {names[0]} and {names[1]}."
            )
    if len(arrays) == 1:
        return first
    shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    return np.concatenate([_pad_rows(array, shape) for array in arrays])


def _pad_rows(array: tensors.Array, shape: tuple[int, ...]) -> tensors.Array:
    """Makes each row of the shape, with zeros or empty strings at its ends."""
    if array.shape[1:] == shape:
        return array
    padded = np.full((array.shape[0], *shape), b"" if array.dtype == object else 0, array.dtype)
    padded[tuple(map(slice, array.shape))] = array
    return padded


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
    """Repeats the first row, which is a valid one; if there is none, the process aborts as TensorFlow Serving does."""
    missing = size - array.shape[0]
    if missing and not array.shape[0]:
        log.fatal("Check failed: limit <= dim0_size (1 vs. 0)")
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array
