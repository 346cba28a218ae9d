"""Pure functions (target, records) -> PredictionLog."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from infraval import options
from infraval.requests import targets, tensors
from infraval.tensorflow_protos import example_pb2, input_pb2, model_pb2, prediction_log_pb2, types_pb2


def shape_bucket(target: targets.Target, record: bytes) -> Hashable:
    """What records must have in common to share a batch: the shapes of their elements, by input."""
    if not target.dense_inputs:
        return ()
    features = _features(record)
    return tuple(tensors.element_shape(features, dense) for dense in target.dense_inputs)


def build(target: targets.Target, model_name: str, records: Sequence[bytes]) -> prediction_log_pb2.PredictionLog:
    """Builds the log of one request, with one accepted record per element of the batch, all of one shape bucket.

    A target that takes lists gets one record, which is the batch; a target that takes no records needs none.
    """
    log = prediction_log_pb2.PredictionLog()
    if target.method is options.Method.MULTI_INFERENCE:
        request = log.multi_inference_log.request
        _fill(request.input, target, records)
        for key, method in zip(target.signatures, target.task_methods, strict=True):
            name = f"tensorflow/serving/{method.value}"
            request.tasks.add(model_spec=_model_spec(model_name, key), method_name=name)
        return log
    request = getattr(log, f"{target.method.value}_log").request
    request.model_spec.CopyFrom(_model_spec(model_name, target.signatures[0]))
    if target.method is not options.Method.PREDICT:
        _fill(request.input, target, records)
        return log
    if target.serialized_input is not None:
        tensor = request.inputs[target.serialized_input]  # filled where it is: there may be no memory for a copy
        tensor.dtype = types_pb2.DT_STRING
        tensor.tensor_shape.dim.add(size=len(records))
        tensor.string_val.extend(records)
    elif target.dense_inputs:
        features = [_features(record) for record in records]
        for dense in target.dense_inputs:
            request.inputs[dense.alias].CopyFrom(tensors.build(features, dense))
    for constant in target.constants:
        request.inputs[constant.alias].CopyFrom(constant.proto())
    return log


def _model_spec(model_name: str, key: str) -> model_pb2.ModelSpec:
    return model_pb2.ModelSpec(name=model_name, signature_name=key)


def _fill(empty: input_pb2.Input, target: targets.Target, records: Sequence[bytes]) -> None:
    if target.takes_lists:
        (record,) = records  # a request has room for one
        empty.example_list_with_context.ParseFromString(record)
        return
    for record in records:
        empty.example_list.examples.add().ParseFromString(record)


def _features(record: bytes) -> Any:
    return example_pb2.Example.FromString(record).features.feature
