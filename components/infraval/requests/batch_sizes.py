"""TF Serving's batching parameters file -> the batch sizes that a warmup must cover.

The server reads the same file (`--batching_parameters_file`). If it would refuse the model because of the file, that is
an error here, before any server starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from infraval import errors, options

_DEFAULT_MAX_BATCH_SIZE = 1000
"""TF Serving's default (BasicBatchScheduler's QueueOptions)."""


def batch_sizes(warmup: options.WarmupOptions) -> tuple[int, ...]:
    """The batch sizes to cover: those in the options, else every allowed one, else 1.

    TF Serving pads a batch to the next allowed size only, so each size stays cold until a record has that size.

    Raises:
      OptionError: TF Serving would not start with the batching parameters file, or a batch size exceeds its maximum.
    """
    if not warmup.batching_parameters_file:
        return warmup.batch_sizes or (1,)
    allowed, largest = _read(Path(warmup.batching_parameters_file))
    for size in warmup.batch_sizes:
        if size > largest:
            raise errors.OptionError(
                f"--batch-size (warmup.batch_sizes) {size} is over the maximum of {largest} in "
                f"{warmup.batching_parameters_file}. Use a smaller one, or raise max_batch_size in that file."
            )
    # The server checks only the last entry; no request can have a size below 1 or over the maximum.
    possible = {size for size in allowed if 1 <= size <= largest}
    return warmup.batch_sizes or tuple(sorted(possible)) or (1,)


def _read(path: Path) -> tuple[list[int], int]:
    """The allowed batch sizes, and the largest batch that the server accepts."""
    parameters = _BatchingParameters()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), parameters)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.OptionError(
            f"The batching parameters file {path} is not a text-format BatchingParameters: {error}"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        cause = getattr(error, "strerror", error)
        raise errors.OptionError(f"The batching parameters file {path} cannot be read: {cause}.") from error
    largest = parameters.max_batch_size.value if parameters.HasField("max_batch_size") else _DEFAULT_MAX_BATCH_SIZE
    padded = largest
    if parameters.enable_large_batch_splitting.value and parameters.HasField("max_execution_batch_size"):
        padded = parameters.max_execution_batch_size.value
    allowed = list(parameters.allowed_batch_sizes)
    if allowed and allowed[-1] != padded:
        raise errors.OptionError(
            f"The last allowed_batch_sizes entry in {path} is {allowed[-1]}, but TF Serving loads a model only if it "
            f"is the maximum, {padded}."
        )
    return allowed, largest


def _batching_parameters_class() -> Any:
    """The message class of tensorflow.serving.BatchingParameters, which is in no wheel.

    The fields are those of TF Serving's session_bundle_config.proto; a text proto does not depend on their numbers. The
    class has its own descriptor pool, so that it cannot clash with the real one if a wheel contains it some day.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    parameters = file.message_type.add(name="BatchingParameters")
    parameters.field.add(name="allowed_batch_sizes", number=1, label=field.LABEL_REPEATED, type=field.TYPE_INT64)
    parameters.field.add(name="pad_variable_length_inputs", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_BOOL)
    wrapped = {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "max_execution_batch_size": "Int64Value",
        "enable_large_batch_splitting": "BoolValue",
        "thread_pool_name": "StringValue",
    }
    for number, (name, wrapper) in enumerate(wrapped.items(), start=3):
        kind = f".google.protobuf.{wrapper}"
        parameters.field.add(
            name=name, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE, type_name=kind
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4 and later
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


_BatchingParameters = _batching_parameters_class()
