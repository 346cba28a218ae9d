"""The REST API: an HTTP request to the answer of the service that gRPC asks too.

Source: model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and http_server.cc.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib import parse as urls

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from infraval_server import core, ending, requests, rest_requests, rest_responses, service, status

_MAX_INT64 = 2**63 - 1
_MAX_DIGITS = 19
"""Of a positive number of that size; Python turns only so many into a number."""

_API = re.compile(r"/v1/.*", re.IGNORECASE)
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<end>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<end>metadata))?", re.IGNORECASE | re.ASCII)

_HTTP_STATUSES = {
    status.Code.CANCELLED: 499,
    status.Code.INVALID_ARGUMENT: 400,
    status.Code.DEADLINE_EXCEEDED: 504,
    status.Code.NOT_FOUND: 404,
    status.Code.ALREADY_EXISTS: 409,
    status.Code.PERMISSION_DENIED: 403,
    status.Code.RESOURCE_EXHAUSTED: 429,
    status.Code.FAILED_PRECONDITION: 400,
    status.Code.ABORTED: 409,
    status.Code.OUT_OF_RANGE: 400,
    status.Code.UNIMPLEMENTED: 501,
    status.Code.UNAVAILABLE: 503,
    status.Code.UNAUTHENTICATED: 401,
}
_INTERNAL_ERROR = 500


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
      http_status: its code.
      text: its body; bytes that are not UTF-8 are surrogate escapes.
      content_type: of the body.
      code: name of the status code; empty for what is not for the API.
      headers: more of them.
    """

    http_status: int
    text: str
    content_type: str = "application/json"
    code: str = "OK"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


_NOT_FOUND = Answer(
    404,
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n",
    "text/html",
    code="",
)

_OPTIONS = Answer(400, "", "text/html; charset=ISO-8859-1")


def answer(models: core.Core, method: str, target: str, body: bytes) -> Answer:
    """Answers a request.

    Args:
      models: what answers.
      method: `GET`, `POST`, ….
      target: path and query.
      body: JSON for a POST.
    """
    if not _API.fullmatch(target):
        return _NOT_FOUND
    if method == "OPTIONS":
        return _OPTIONS
    try:
        return Answer(200, _dispatch(models, method, target, body))
    except status.StatusError as error:
        return _failure(error)
    except RecursionError:  # in the parser, or in what reads the parsed lists
        return _failure(status.invalid_argument("JSON Parse error: The document is nested too deeply."))


def _failure(error: status.StatusError) -> Answer:
    if error.unregistered_op:
        ending.for_unregistered_op(error.unregistered_op)
    text = rest_responses.of_error(error.message)
    return Answer(_HTTP_STATUSES.get(error.code, _INTERNAL_ERROR), text, code=error.code.name)


def model_and_api(method: str, target: str) -> tuple[str, str]:
    """The names by which the metrics know a request: its model, and what is asked of it; empty if there is none."""
    match = {"GET": _GET, "POST": _POST}[method].fullmatch(target) if method in {"GET", "POST"} else None
    if match is None:
        return "", ""
    return urls.unquote(match["name"] or ""), match["end"] if method == "POST" else ""


def _dispatch(models: core.Core, method: str, target: str, body: bytes) -> str:
    if method == "GET" and (match := _GET.fullmatch(target)):
        return _metadata(models, match) if match["end"] == "metadata" else _status(models, match)
    if method == "POST" and (match := _POST.fullmatch(target)) and match["end"] in _METHODS:
        return _METHODS[match["end"]](models, match, body)
    raise status.invalid_argument(f"Malformed request: {method} {target}")


def _predict(models: core.Core, match: re.Match[str], body: bytes) -> str:
    request = _for_model(predict_pb2.PredictRequest(), match)

    def signature_inputs(signature_name: str) -> Any:
        name = signature_name or requests.DEFAULT_SIGNATURE
        with models.using(request.model_spec) as servable:
            if name not in servable.model.signatures:
                raise status.invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            return servable.model.signatures[name].inputs

    rows = rest_requests.fill_predict(body, signature_inputs, request)
    return rest_responses.of_predict(service.predict(models, request), rows=rows)


def _classify(models: core.Core, match: re.Match[str], body: bytes) -> str:
    request = _for_model(classification_pb2.ClassificationRequest(), match)
    rest_requests.fill_examples(body, request)
    return rest_responses.of_classify(service.classify(models, request))


def _regress(models: core.Core, match: re.Match[str], body: bytes) -> str:
    request = _for_model(regression_pb2.RegressionRequest(), match)
    rest_requests.fill_examples(body, request)
    return rest_responses.of_regress(service.regress(models, request))


_METHODS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _status(models: core.Core, match: re.Match[str]) -> str:
    request = _for_model(get_model_status_pb2.GetModelStatusRequest(), match)
    return rest_responses.of_status(service.get_model_status(models, request))


def _metadata(models: core.Core, match: re.Match[str]) -> str:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[service.SIGNATURE_DEF])
    return rest_responses.of_metadata(service.get_model_metadata(models, _for_model(request, match)))


def _for_model(request: Any, match: re.Match[str]) -> Any:
    """The request with its model_spec filled from the path."""
    if match["name"] is None:
        raise status.invalid_argument("Missing model name in request.")
    request.model_spec.name = urls.unquote(match["name"])
    if match["version"] is not None:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS or int(digits) > _MAX_INT64:
            raise status.invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        request.model_spec.version.value = int(digits)
    if match["label"] is not None:
        request.model_spec.version_label = urls.unquote(match["label"])
    return request
