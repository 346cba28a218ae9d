"""Requests to responses over a loaded model: Predict, Classify, Regress and MultiInference.

The services, over gRPC and REST, and the warmup replay share these. Source: servables/tensorflow/predict_util.cc,
classifier.cc, regressor.cc, multi_inference.cc and util.cc; the order of the checks is theirs, since it decides what is
reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

from infraval_server import metrics, model, status, tensors

PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

DEFAULT_SIGNATURE = "serving_default"
"""The signature that is meant if a request names none."""


@dataclasses.dataclass(frozen=True)
class Servable:
    """One version of a model, ready to answer.

    Attributes:
      name: the name it is served under.
      version: the number of its directory.
      model: what answers.
      checks_method_names: whether a signature's method_name must fit the request.
    """

    name: str
    version: int
    model: model.Model
    checks_method_names: bool = False


Handler = Callable[[Servable, Any], Any]
"""A request, and the servable it is for, to its response."""

_Tensors = tuple[str, list[str]]
"""Name of the tensor to feed with serialized Examples, names of the tensors to fetch."""


def predict(servable: Servable, request: Any) -> Any:
    """Answers a PredictRequest.

    Raises:
      StatusError: the request does not fit the signature, or the graph fails.
    """
    name = _signature_name(request.model_spec)
    signature = servable.model.signatures.get(name)
    if signature is None:
        raise status.StatusError(status.Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    methods = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if servable.checks_method_names and signature.method_name not in methods:
        raise status.StatusError(
            status.Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(methods)}}}. "
            f"Was: {signature.method_name}",
        )
    feeds = _predict_feeds(signature, request.inputs)
    aliases = _predict_outputs(signature, request.output_filter)
    with metrics.RUNTIME_LATENCY.timed(request.model_spec.name, "Predict", "TF1"):
        outputs = servable.model.run(feeds, [signature.outputs[alias].name for alias in aliases])
    response = predict_pb2.PredictResponse()
    _set_model_spec(response.model_spec, servable, request.model_spec)
    for alias, output in zip(aliases, outputs, strict=True):
        response.outputs[alias].CopyFrom(tensors.to_proto(output))
    return response


def _predict_feeds(signature: Any, inputs: Mapping[str, Any]) -> list[tuple[str, tensors.Array]]:
    sent, required = set(inputs), set(signature.inputs)
    if len(sent) > len(required) or (len(sent) < len(required) and not signature.defaults):
        raise status.invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(required)} len({_set_text(sent)}) != "
            f"len({_set_text(required)}). Sent extra: {_set_text(sent - required)}. "
            f"Missing but required: {_set_text(required - sent)}."
        )
    feeds = []
    for alias in sorted(required):
        feed_name = signature.inputs[alias].name
        if alias not in inputs and alias not in signature.defaults:
            raise status.invalid_argument(
                f"Signature input alias: {alias}(feed name: {feed_name}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_set_text(sent)}, or default input alias set: "
                f"{','.join(sorted(signature.defaults))}"
            )
        array = tensors.from_proto(inputs[alias] if alias in inputs else signature.defaults[alias])
        if array is None:
            raise status.invalid_argument(f"tensor parsing error: {alias}")
        feeds.append((feed_name, array))
    if not sent <= required:
        raise status.invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(sent & required))}, "
            f"request input: {','.join(sorted(sent))}"
        )
    return feeds


def _predict_outputs(signature: Any, output_filter: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise status.invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_set_text(signature.outputs)}."
            )
        if alias in seen:
            raise status.invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or list(signature.outputs)


def classify(servable: Servable, request: Any) -> Any:
    """Answers a ClassificationRequest.

    Raises:
      StatusError: the signature is not a classifier, the input is empty, or the graph fails.
    """
    signature = _single_signature(servable, request.model_spec)
    plans = [_classify_tensors(servable, signature)]
    with metrics.RUNTIME_LATENCY.timed(request.model_spec.name, "Classify", "TF1"):
        outputs = _run_examples(servable, request.input, plans)
    response = classification_pb2.ClassificationResponse()
    _set_model_spec(response.model_spec, servable, request.model_spec)
    _fill_classifications(response.result, signature, outputs)
    return response


def regress(servable: Servable, request: Any) -> Any:
    """Answers a RegressionRequest.

    Raises:
      StatusError: the signature is not a regressor, the input is empty, or the graph fails.
    """
    signature = _single_signature(servable, request.model_spec)
    plans = [_regress_tensors(servable, signature)]
    with metrics.RUNTIME_LATENCY.timed(request.model_spec.name, "Regress", "TF1"):
        outputs = _run_examples(servable, request.input, plans)
    response = regression_pb2.RegressionResponse()
    _set_model_spec(response.model_spec, servable, request.model_spec)
    _fill_regressions(response.result, signature, outputs)
    return response


def multi_inference(servable: Servable, request: Any) -> Any:
    """Answers a MultiInferenceRequest with one run of the graph.

    Raises:
      StatusError: the tasks do not fit together or the model, the input is empty, or the graph fails.
    """
    signatures, plans = _plan_tasks(servable, request.tasks)
    outputs = _run_examples(servable, request.input, plans)
    response = inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures, strict=True):
        result = response.results.add()
        _set_model_spec(result.model_spec, servable, task.model_spec)
        if task.method_name == CLASSIFY_METHOD:
            _fill_classifications(result.classification_result, signature, outputs)
        else:
            _fill_regressions(result.regression_result, signature, outputs)
    return response


def _plan_tasks(servable: Servable, tasks: Iterable[Any]) -> tuple[list[Any], list[_Tensors]]:
    """The signature of each task, and its tensors."""
    signatures: dict[str, Any] = {}
    plans = []
    model_name = ""
    for task in tasks:
        if not task.model_spec.name:
            raise status.invalid_argument("Found ModelSpec with an empty model name.")
        if model_name not in ("", task.model_spec.name):
            raise status.invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        model_name = task.model_spec.name
        name = _signature_name(task.model_spec)
        if name in signatures:
            raise status.invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in servable.model.signatures:
            raise status.invalid_argument(f"Requested signature not found in model graph: {name}")
        signatures[name] = servable.model.signatures[name]
        plans.append(_task_tensors(servable, task, signatures[name]))
    return list(signatures.values()), plans


def _task_tensors(servable: Servable, task: Any, signature: Any) -> _Tensors:
    if task.method_name == CLASSIFY_METHOD:
        return _classify_tensors(servable, signature)
    if task.method_name == REGRESS_METHOD:
        return _regress_tensors(servable, signature)
    raise status.StatusError(status.Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")


def _check_method_name(servable: Servable, signature: Any, kind: str, method: str) -> None:
    if servable.checks_method_names and signature.method_name != method:
        raise status.invalid_argument(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )


def _classify_tensors(servable: Servable, signature: Any) -> _Tensors:
    _check_method_name(servable, signature, "classification", CLASSIFY_METHOD)
    if len(signature.inputs) != 1:
        raise status.invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise status.invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise status.invalid_argument(
            f"No classification inputs found in SignatureDef: {text_format.MessageToString(signature)}"
        )
    fetches = [signature.outputs[alias].name for alias in ("classes", "scores") if alias in signature.outputs]
    if not fetches:
        raise status.invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {text_format.MessageToString(signature)}"
        )
    return signature.inputs["inputs"].name, fetches


def _regress_tensors(servable: Servable, signature: Any) -> _Tensors:
    _check_method_name(servable, signature, "regression", REGRESS_METHOD)
    if len(signature.inputs) != 1:
        raise status.invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise status.invalid_argument("Expected one output Tensor.")
    for side, alias, infos in (("inputs", "inputs", signature.inputs), ("outputs", "outputs", signature.outputs)):
        if alias not in infos:
            raise status.invalid_argument(
                f"No regression {side} found in SignatureDef: {text_format.MessageToString(signature)}"
            )
    return signature.inputs["inputs"].name, [signature.outputs["outputs"].name]


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """Fetched tensors by name, and the number of examples they are for."""

    num_examples: int
    by_name: Mapping[str, tensors.Array]

    def of(self, signature: Any, alias: str) -> tensors.Array | None:
        return self.by_name[signature.outputs[alias].name] if alias in signature.outputs else None


def _run_examples(servable: Servable, request_input: Any, plans: Sequence[_Tensors]) -> _Outputs:
    examples = _serialized_examples(request_input)
    array = np.array(examples, dtype=object)
    names = sorted({name for _, fetches in plans for name in fetches})
    values = servable.model.run([(feed, array) for feed in sorted({feed for feed, _ in plans})], names)
    return _Outputs(len(examples), dict(zip(names, values, strict=True)))


def _serialized_examples(request_input: Any) -> list[bytes]:
    kind = request_input.WhichOneof("kind")
    examples = getattr(request_input, kind).examples if kind else ()
    if not examples:
        raise status.invalid_argument("Input is empty.")
    # Joined serializations parse as the merged message. Without a context this one is empty.
    context = request_input.example_list_with_context.context.SerializeToString()
    return [context + example.SerializeToString() for example in examples]


def _fill_classifications(result: Any, signature: Any, outputs: _Outputs) -> None:
    classes, scores = outputs.of(signature, "classes"), outputs.of(signature, "scores")
    for alias, array, dtype in (("classes", classes, "DT_STRING"), ("scores", scores, "DT_FLOAT")):
        if array is not None:
            _check_classifier_output(alias, array, dtype, outputs.num_examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise status.invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    columns = {"label": classes, "score": scores}
    present = {field: array.tolist() for field, array in columns.items() if array is not None}
    for rows in zip(*present.values(), strict=True):
        classifications = result.classifications.add()
        for cells in zip(*rows, strict=True):
            classifications.classes.add(**dict(zip(present, cells, strict=True)))


def _check_classifier_output(alias: str, array: tensors.Array, dtype: str, num_examples: int) -> None:
    if array.ndim != 2:  # noqa: PLR2004 - the rank that the message names
        raise status.invalid_argument(
            f"Expected Tensor shape: [batch_size num_classes] but got {tensors.shape_text(array)}"
        )
    given = tensors.dtype_enum_name(array)
    if given != dtype:
        raise status.invalid_argument(f"Expected {alias} Tensor of {dtype}. Got: {given}")
    if array.shape[0] != num_examples:
        raise status.invalid_argument(f"Expected {alias} output batch size of {num_examples}. Got: {array.shape[0]}")


def _fill_regressions(result: Any, signature: Any, outputs: _Outputs) -> None:
    values = outputs.by_name[signature.outputs["outputs"].name]
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise status.invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{tensors.shape_text(values)}"
        )
    if values.shape[0] != outputs.num_examples:
        raise status.invalid_argument(
            f"Input batch size did not match output batch size: {outputs.num_examples} vs. {values.shape[0]}"
        )
    given = tensors.dtype_enum_name(values)
    if given != "DT_FLOAT":
        raise status.invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {given}")
    for value in values.ravel().tolist():
        result.regressions.add(value=value)


def _single_signature(servable: Servable, model_spec: Any) -> Any:
    name = _signature_name(model_spec)
    if name not in servable.model.signatures:
        raise status.invalid_argument(f"No signature was found with the name: {name}")
    return servable.model.signatures[name]


def _signature_name(model_spec: Any) -> str:
    return str(model_spec.signature_name or DEFAULT_SIGNATURE)


def _set_model_spec(response_spec: Any, servable: Servable, request_spec: Any) -> None:
    response_spec.name = request_spec.name
    response_spec.version.value = servable.version
    response_spec.signature_name = _signature_name(request_spec)


def _set_text(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
