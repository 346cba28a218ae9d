"""The examples of a request as requests of their own, as a client without batches would send them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from infraval import options, tensor_values
from infraval.requests import prediction_logs, tensors
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2


def split(log: prediction_log_pb2.PredictionLog, most: int) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The first examples of a request, each as a request of one; none if the inputs are not one batch.

    For Predict, the first dimension of every input must be the batch, as for a server that batches.
    """
    cell = prediction_logs.cell(log)
    if cell is None:
        return
    if cell.method is options.Method.PREDICT:
        inputs = log.predict_log.request.inputs
        sizes = {tensor_values.shape(tensor)[:1] for tensor in inputs.values()}
        if sizes != {(cell.batch_size,)} or not all(map(_is_whole, inputs.values())):
            return
    for number in range(min(most, cell.batch_size)):
        one = prediction_log_pb2.PredictionLog()
        one.CopyFrom(log)
        request = getattr(one, f"{cell.method.value}_log").request
        if cell.method is options.Method.PREDICT:
            for alias, tensor in inputs.items():
                request.inputs[alias].CopyFrom(_row(tensor, number))
        else:
            examples = getattr(request.input, request.input.WhichOneof("kind")).examples
            del examples[number + 1 :], examples[:number]
        yield one


def _is_whole(tensor: tensor_pb2.TensorProto) -> bool:
    """Whether every value is in the message."""
    values = tensor_values.numbers(tensor)
    count = len(tensor.string_val) if tensor_values.dtype(tensor) == "string" else 0 if values is None else len(values)
    return count == math.prod(tensor_values.shape(tensor))


def _row(tensor: tensor_pb2.TensorProto, number: int) -> tensor_pb2.TensorProto:
    """A row as a tensor of one row."""
    shape = (1, *tensor_values.shape(tensor)[1:])
    size = math.prod(shape)
    row = tensors.empty(tensor_values.dtype(tensor), shape)
    values = tensor_values.numbers(tensor)
    if values is None:
        row.string_val.extend(tensor.string_val[number * size : (number + 1) * size])
    else:
        row.tensor_content = tensors.content(values[number * size : (number + 1) * size])
    return row
