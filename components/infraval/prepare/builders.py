"""Pure functions (signature, method, records) -> PredictionLog."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import message
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import input_pb2, model_pb2, prediction_log_pb2

from infraval import errors, protos, spec
from infraval.prepare import signatures


def check(signature: signatures.Signature) -> spec.Method:
    """The method that a signature is called by.

    Raises:
      ModelError: no request can be built for the signature from serialized examples.
    """
    if signature.method is None:
        raise errors.ModelError(f"Signature {signature.key!r} has a method that TF Serving has no request for.")
    if _serialized_input(signature) is None:
        inputs = ", ".join(f"{alias}: {tensor}" for alias, tensor in signature.inputs.items()) or "no inputs"
        raise errors.ModelError(
            f"Signature {signature.key!r} does not take serialized examples (one string input of one dimension); it "
            f"takes {inputs}. Name another signature."
        )
    return signature.method


def takes_only_examples(method: spec.Method) -> bool:
    """Whether the RPC carries parsed tf.Examples rather than opaque bytes."""
    return method is not spec.Method.PREDICT


def is_example(record: bytes) -> bool:
    """Whether a record parses as a tf.Example."""
    try:
        protos.parse(record, example_pb2.Example())
    except message.DecodeError:
        return False
    return True


def build(
    signature: signatures.Signature, method: spec.Method, model_name: str, records: Sequence[bytes]
) -> prediction_log_pb2.PredictionLog:
    """Builds the log of one request.

    Args:
      signature: one that passed `check`.
      method: the RPC.
      model_name: goes into the request's ModelSpec.
      records: one per element of the batch, serialized tf.Examples; for Predict whatever the signature's string
        input takes.
    """
    model_spec = model_pb2.ModelSpec(name=model_name, signature_name=signature.key)
    log = prediction_log_pb2.PredictionLog()
    if method is spec.Method.PREDICT:
        log.predict_log.request.model_spec.CopyFrom(model_spec)
        alias = _serialized_input(signature) or ""
        log.predict_log.request.inputs[alias].CopyFrom(_string_tensor(records))
    elif method is spec.Method.CLASSIFY:
        log.classify_log.request.model_spec.CopyFrom(model_spec)
        log.classify_log.request.input.CopyFrom(_examples(records))
    else:
        log.regress_log.request.model_spec.CopyFrom(model_spec)
        log.regress_log.request.input.CopyFrom(_examples(records))
    return log


def _serialized_input(signature: signatures.Signature) -> str | None:
    """Alias of the only input if it is a string vector of any length, else None."""
    if len(signature.inputs) != 1:
        return None
    ((alias, tensor),) = signature.inputs.items()
    is_string_vector = tensor.dtype == "string" and (tensor.shape is None or len(tensor.shape) == 1)
    return alias if is_string_vector else None


def _string_tensor(values: Sequence[bytes]) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    tensor.tensor_shape.dim.add(size=len(values))
    return tensor


def _examples(records: Sequence[bytes]) -> input_pb2.Input:
    examples = [example_pb2.Example.FromString(record) for record in records]
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
