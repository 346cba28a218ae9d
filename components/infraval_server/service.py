"""What the services answer, and gRPC's way to ask them; REST asks the same functions.

Source: model_servers/prediction_service_impl.cc, get_model_status_impl.cc and others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import wrappers_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from infraval_server import core, ending, log, metrics, requests, status

_MAX_MESSAGE_BYTES = 1024
"""Longer error messages are cut (source: model_servers/grpc_status_util.cc)."""

SIGNATURE_DEF = "signature_def"
"""The only field of the metadata that can be asked for."""

_COUNTED = frozenset({"Predict", "Classify", "Regress"})
"""Methods whose requests TensorFlow Serving counts when they come over gRPC."""

_SERVING = 1
"""grpc.health.v1.HealthCheckResponse.SERVING."""

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


Handler = Callable[[core.Core, Any], Any]
"""A request to its response; raises StatusError."""


def add(server: Any, models: core.Core, *, health: bool = False) -> None:
    """Adds PredictionService and ModelService to a gRPC server.

    Args:
      server: a grpc.Server that is not started yet.
      models: what answers.
      health: whether to add the health service too.
    """
    services: dict[str, Mapping[str, tuple[Handler, Any]]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": (predict, predict_pb2.PredictRequest),
            "Classify": (classify, classification_pb2.ClassificationRequest),
            "Regress": (regress, regression_pb2.RegressionRequest),
            "MultiInference": (multi_inference, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": (get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (get_model_status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": (reload_config, model_management_pb2.ReloadConfigRequest),
        },
    }
    if health:
        # On the wire a HealthCheckRequest is a StringValue.
        services["grpc.health.v1.Health"] = {"Check": (_check_health, wrappers_pb2.StringValue)}
    for service, methods in services.items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                _rpc(_counted(handler, method), models),
                request_deserializer=request_class.FromString,
                response_serializer=_serialize,
            )
            for method, (handler, request_class) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_generic_rpc_handlers((_Unknown(),))


class _Unknown(grpc.GenericRpcHandler):
    """Takes every method that no one before it took: grpcio would add a message, which C++ does not."""

    def service(self, _: Any) -> Any:
        """See grpc."""
        return grpc.stream_stream_rpc_method_handler(_unimplemented)


def _unimplemented(_: Any, context: Any) -> Any:
    return context.abort(grpc.StatusCode.UNIMPLEMENTED, "")


def _serialize(response: Any) -> bytes:
    return response.SerializeToString()  # type: ignore[no-any-return]  # protos are untyped here


def _rpc(handler: Handler, models: core.Core) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        try:
            return handler(models, request)
        except status.StatusError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - gRPC would say UNKNOWN, as of a failure of the model's
            ending.for_bug(error)
        if failure.unregistered_op:
            ending.for_unregistered_op(failure.unregistered_op)
        # Bytes, for the message may quote input that is not UTF-8.
        return context.abort(_GRPC_CODES[failure.code], _details(failure))

    return answer


def _counted(handler: Handler, method: str) -> Handler:
    """The handler of a method, with its requests counted if TensorFlow Serving counts them."""
    if method not in _COUNTED:
        return handler

    def answer(models: core.Core, request: Any) -> Any:
        started_s = time.perf_counter()
        try:
            response = handler(models, request)
        except status.StatusError as error:
            metrics.REQUESTS.add(request.model_spec.name, error.code.name)
            raise
        metrics.request(request.model_spec.name, method, "GRPC", started_s)
        return response

    return answer


def _details(error: status.StatusError) -> bytes:
    message = error.message.encode(errors="surrogateescape")
    return message if len(message) <= _MAX_MESSAGE_BYTES else message[:_MAX_MESSAGE_BYTES] + b"...TRUNCATED"


def predict(models: core.Core, request: Any) -> Any:
    """Answers a PredictRequest that came from outside.

    Raises:
      StatusError: no version is there for it; see `requests.predict`.
    """
    _check_has_model_spec(request)
    with models.using(request.model_spec) as servable:
        return requests.predict(servable, request)


def classify(models: core.Core, request: Any) -> Any:
    """Answers a ClassificationRequest that came from outside.

    Raises:
      StatusError: no version is there for it; see `requests.classify`.
    """
    _check_has_model_spec(request)
    with models.using(request.model_spec) as servable:
        return requests.classify(servable, request)


def regress(models: core.Core, request: Any) -> Any:
    """Answers a RegressionRequest that came from outside.

    Raises:
      StatusError: no version is there for it; see `requests.regress`.
    """
    _check_has_model_spec(request)
    with models.using(request.model_spec) as servable:
        return requests.regress(servable, request)


def multi_inference(models: core.Core, request: Any) -> Any:
    """Answers a MultiInferenceRequest that came from outside.

    Raises:
      StatusError: no version is there for its first task; see `requests.multi_inference`.
    """
    with models.using(request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()) as servable:
        return requests.multi_inference(servable, request)


def get_model_metadata(models: core.Core, request: Any) -> Any:
    """Answers a GetModelMetadataRequest with the SignatureDefs.

    Raises:
      StatusError: no version is there for it, or it asks for something else.
    """
    _check_has_model_spec(request)
    if not request.metadata_field:
        raise status.invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise status.invalid_argument(f"Metadata field {field} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with models.using(request.model_spec) as servable:
        for key, signature in servable.model.signatures.items():
            signatures.signature_def[key].CopyFrom(signature)
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def get_model_status(models: core.Core, request: Any) -> Any:
    """Answers a GetModelStatusRequest with the state of one version, or of all of a model.

    Raises:
      StatusError: the server never knew of such a version.
    """
    _check_has_model_spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in models.versions(request.model_spec):
        version_status = response.model_version_status.add(version=version.number, state=version.state)
        version_status.status.SetInParent()
        if version.failure is not None:
            version_status.status.error_code = version.failure.code
            version_status.status.error_message = version.failure.message.encode(errors="surrogateescape").decode(
                errors="replace"
            )
    return response


def reload_config(models: core.Core, request: Any) -> Any:
    """Answers a ReloadConfigRequest once the new models are loaded; the metrics asked for stay at 0.

    Raises:
      StatusError: see `core.Core.reload`.
    """
    try:
        if request.config.WhichOneof("config") != "model_config_list":
            raise status.invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        for index, model in enumerate(request.config.model_config_list.config):
            log.info(
                f"\nConfig entry\n\tindex : {index}\n\tpath : {model.base_path}\n\tname : {model.name}\n"
                f"\tplatform : {model.model_platform}"
            )
        models.reload(request.config)
    except status.StatusError as error:
        log.error(f"ReloadConfig failed: {error.message}")
        raise
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    for name in sorted(set(request.metric_names)):
        response.metric.add(name=name, int64_value_increase=0)
    return response


def _check_health(_: core.Core, request: Any) -> Any:
    if request.value:
        raise status.StatusError(status.Code.NOT_FOUND, "service name unknown")
    return wrappers_pb2.Int32Value(value=_SERVING)  # on the wire a HealthCheckResponse


def _check_has_model_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise status.invalid_argument("Missing ModelSpec")
