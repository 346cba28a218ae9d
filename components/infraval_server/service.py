"""What the services answer, and gRPC's way to ask them; REST asks the same functions.

Source: model_servers/prediction_service_impl.cc, get_model_status_impl.cc and others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from infraval_server import ending, metrics, requests, status

_MAX_MESSAGE_BYTES = 1024
"""Longer error messages are cut (source: model_servers/grpc_status_util.cc)."""

SIGNATURE_DEF = "signature_def"
"""The only field of the metadata that can be asked for."""

_COUNTED = frozenset({"Predict", "Classify", "Regress"})
"""Methods whose requests TensorFlow Serving counts when they come over gRPC."""

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


def add(server: Any, servable: requests.Servable) -> None:
    """Adds PredictionService and ModelService to a gRPC server.

    Args:
      server: a grpc.Server that is not started yet.
      servable: what answers.
    """
    services: Mapping[str, Mapping[str, tuple[requests.Handler, Any]]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": (predict, predict_pb2.PredictRequest),
            "Classify": (classify, classification_pb2.ClassificationRequest),
            "Regress": (regress, regression_pb2.RegressionRequest),
            "MultiInference": (multi_inference, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": (get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (get_model_status, get_model_status_pb2.GetModelStatusRequest),
        },
    }
    for service, methods in services.items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                _rpc(_counted(handler, method), servable),
                request_deserializer=request_class.FromString,
                response_serializer=_serialize,
            )
            for method, (handler, request_class) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _serialize(response: Any) -> bytes:
    return response.SerializeToString()  # type: ignore[no-any-return]  # protos are untyped here


def _rpc(handler: requests.Handler, servable: requests.Servable) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        try:
            return handler(servable, request)
        except status.StatusError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - gRPC would say UNKNOWN, as of a failure of the model's
            ending.for_bug(error)
        if failure.unregistered_op:
            ending.for_unregistered_op(failure.unregistered_op)
        # Bytes, for the message may quote input that is not UTF-8.
        return context.abort(_GRPC_CODES[failure.code], _details(failure))

    return answer


def _counted(handler: requests.Handler, method: str) -> requests.Handler:
    """The handler of a method, with its requests counted if TensorFlow Serving counts them."""
    if method not in _COUNTED:
        return handler

    def answer(servable: requests.Servable, request: Any) -> Any:
        started_s = time.perf_counter()
        try:
            response = handler(servable, request)
        except status.StatusError as error:
            metrics.REQUESTS.add(request.model_spec.name, error.code.name)
            raise
        metrics.request(request.model_spec.name, method, "GRPC", started_s)
        return response

    return answer


def _details(error: status.StatusError) -> bytes:
    message = error.message.encode(errors="surrogateescape")
    return message if len(message) <= _MAX_MESSAGE_BYTES else message[:_MAX_MESSAGE_BYTES] + b"...TRUNCATED"


def predict(servable: requests.Servable, request: Any) -> Any:
    """Answers a PredictRequest that came from outside.

    Raises:
      StatusError: it is for another model or version; see `requests.predict`.
    """
    _check_has_model_spec(request)
    check_is_for(servable, request.model_spec)
    return requests.predict(servable, request)


def classify(servable: requests.Servable, request: Any) -> Any:
    """Answers a ClassificationRequest that came from outside.

    Raises:
      StatusError: it is for another model or version; see `requests.classify`.
    """
    _check_has_model_spec(request)
    check_is_for(servable, request.model_spec)
    return requests.classify(servable, request)


def regress(servable: requests.Servable, request: Any) -> Any:
    """Answers a RegressionRequest that came from outside.

    Raises:
      StatusError: it is for another model or version; see `requests.regress`.
    """
    _check_has_model_spec(request)
    check_is_for(servable, request.model_spec)
    return requests.regress(servable, request)


def multi_inference(servable: requests.Servable, request: Any) -> Any:
    """Answers a MultiInferenceRequest that came from outside.

    Raises:
      StatusError: its first task is for another model or version; see `requests.multi_inference`.
    """
    check_is_for(servable, request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec())
    return requests.multi_inference(servable, request)


def get_model_metadata(servable: requests.Servable, request: Any) -> Any:
    """Answers a GetModelMetadataRequest with the SignatureDefs.

    Raises:
      StatusError: it is for another model or version, or asks for something else.
    """
    _check_has_model_spec(request)
    if not request.metadata_field:
        raise status.invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise status.invalid_argument(f"Metadata field {field} is not supported")
    check_is_for(servable, request.model_spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in servable.model.signatures.items():
        signatures.signature_def[key].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def get_model_status(servable: requests.Servable, request: Any) -> Any:
    """Answers a GetModelStatusRequest.

    Raises:
      StatusError: it is for another model or version.
    """
    _check_has_model_spec(request)
    spec = request.model_spec
    if spec.HasField("version") and (spec.name, spec.version.value) != (servable.name, servable.version):
        raise status.StatusError(
            status.Code.NOT_FOUND, f"Could not find version {spec.version.value} of model {spec.name}"
        )
    if spec.name != servable.name:
        raise status.StatusError(status.Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
    # No other state can be seen: gRPC comes up once the model is loaded, and goes before it is unloaded.
    response = get_model_status_pb2.GetModelStatusResponse()
    version_status = response.model_version_status.add(
        version=servable.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
    )
    version_status.status.SetInParent()
    return response


def _check_has_model_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise status.invalid_argument("Missing ModelSpec")


def check_is_for(servable: requests.Servable, model_spec: Any) -> None:
    """Checks that a ModelSpec names the servable.

    Raises:
      StatusError: it does not.
    """
    if not model_spec.name:
        raise status.invalid_argument("ModelSpec has no name specified.")
    if model_spec.WhichOneof("version_choice") == "version_label":
        raise status.invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
    specific = model_spec.HasField("version")
    if model_spec.name != servable.name or (specific and model_spec.version.value != servable.version):
        version = model_spec.version.value
        wanted = f"Specific({model_spec.name}, {version})" if specific else f"Latest({model_spec.name})"
        raise status.StatusError(status.Code.NOT_FOUND, f"Servable not found for request: {wanted}")
