"""TF Serving's messages that are in no wheel.

The fields are those of TF Serving's protos; a text proto does not depend on their numbers. The classes have their own
descriptor pool, so that they cannot clash with the real ones if a wheel contains them some day.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE = "tensorflow.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    """Describes session_bundle_config.proto and monitoring_config.proto, as far as infraval reads them."""
    file = descriptor_pb2.FileDescriptorProto(
        name="infraval_production.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    parameters = file.message_type.add(name="BatchingParameters")
    parameters.field.add(name="allowed_batch_sizes", number=1, label=_FIELD.LABEL_REPEATED, type=_FIELD.TYPE_INT64)
    _add(parameters, pad_variable_length_inputs=_FIELD.TYPE_BOOL)
    _add(
        parameters,
        max_batch_size=".google.protobuf.Int64Value",
        batch_timeout_micros=".google.protobuf.Int64Value",
        max_enqueued_batches=".google.protobuf.Int64Value",
        num_batch_threads=".google.protobuf.Int64Value",
        max_execution_batch_size=".google.protobuf.Int64Value",
        enable_large_batch_splitting=".google.protobuf.BoolValue",
        thread_pool_name=".google.protobuf.StringValue",
    )
    _add(file.message_type.add(name="PrometheusConfig"), enable=_FIELD.TYPE_BOOL, path=_FIELD.TYPE_STRING)
    _add(file.message_type.add(name="MonitoringConfig"), prometheus_config=f".{_PACKAGE}.PrometheusConfig")
    return file


def _add(message: descriptor_pb2.DescriptorProto, **fields: int | str) -> None:
    """Adds optional fields, each of a scalar type or of the message of that name."""
    for name, kind in fields.items():
        field = message.field.add(name=name, number=len(message.field) + 1, label=_FIELD.LABEL_OPTIONAL)
        if isinstance(kind, str):
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
        else:
            field.type = kind


def _classes(*names: str) -> list[Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    found = [pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in names]
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4 and later
        return [message_factory.GetMessageClass(each) for each in found]
    factory = message_factory.MessageFactory(pool)
    return [factory.GetPrototype(each) for each in found]


BatchingParameters, MonitoringConfig = _classes("BatchingParameters", "MonitoringConfig")
