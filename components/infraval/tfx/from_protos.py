"""InfraValidator's protos, refined by infraval's own options, as the options of a `Job`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, message
from tfx.orchestration import data_types
from tfx.proto import infra_validator_pb2

from infraval import errors, options

_log = logging.getLogger(__name__)

PROTOS: Mapping[str, type[message.Message]] = {
    "serving_spec": infra_validator_pb2.ServingSpec,
    "validation_spec": infra_validator_pb2.ValidationSpec,
    "request_spec": infra_validator_pb2.RequestSpec,
}
"""InfraValidator's parameters."""

EXTRAS: Mapping[str, type[options.Options]] = {
    "requests": options.RequestOptions,
    "warmup": options.WarmupOptions,
    "server": options.ServerOptions,
    "limits": options.Limits,
}
"""infraval's own parameters, each a JSON object; there is also `server_messages`, a string."""

_DEFAULT_IMAGE = "tensorflow/serving"
"""What InfraValidator runs when TensorFlowServing names no image (tfx/components/infra_validator/serving_bins.py)."""

_PLATFORMS = {"local_docker": "docker", "kubernetes": "kubernetes"}
"""Of ServingSpec.serving_platform."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the parameters of an execution ask for.

    Attributes:
      splits: of the Examples to read; the first one if there are none.
      request_spec: whether the parameter of that name is set.
      job: arguments of `Job` besides those that artifacts give.
    """

    splits: tuple[str, ...]
    request_spec: bool
    job: Mapping[str, Any]

    def make_job(self, **given: Any) -> options.Job:
        """The job, with arguments in place of, or beside, those that were asked for.

        Raises:
          OptionError: the options contradict each other.
        """
        return options.Job.parse({**self.job, **given}, _name)


def read(exec_properties: Mapping[str, Any], *, examples: bool) -> Asked:
    """Reads the parameters of an execution.

    Args:
      exec_properties: by the names in `PROTOS` and `EXTRAS`, and `server_messages`; each a string, or not set.
      examples: whether there are examples to build requests of.

    Raises:
      OptionError: a parameter cannot be read, or what it asks for makes no sense.
    """
    given = {name: literal(value) for name, value in exec_properties.items()}
    serving, validation, request = (_parse(given.get(name), PROTOS[name]) for name in PROTOS)
    requests = _requests(request, options.RequestOptions.from_json(given.get("requests") or "{}"), examples=examples)
    limits = options.Limits.from_json(given.get("limits") or "{}")
    splits = requests.splits
    if splits and not examples:
        raise errors.OptionError("requests.splits is about the examples, and there are none; drop it or give some.")
    job = {
        "requests": {name: value for name, value in requests.given().items() if name != "splits"},
        "make_warmup": request is None or request.make_warmup,
        "warmup": options.WarmupOptions.from_json(given.get("warmup") or "{}"),
        "server": _server(serving, options.base.read_object("server", given.get("server") or "{}")),
        "limits": {**_limits(validation), **limits.given()},
    }
    if given.get("server_messages"):
        job["server_messages"] = given["server_messages"]
    return Asked(splits, request is not None, job)


def literal(value: Any) -> Any:
    """The value of a parameter; a RuntimeParameter's default where nothing has put a value in its place.

    InteractiveContext runs a component without: it hands over the RuntimeParameter, or its JSON.
    """
    if isinstance(value, str) and '"RuntimeParameter"' in value:
        try:
            return json.loads(value)["default"]
        except (ValueError, TypeError, KeyError):
            return value
    return value.default if isinstance(value, data_types.RuntimeParameter) else value


def _name(path: tuple[str, ...]) -> str:
    return "request_spec.make_warmup" if path == ("make_warmup",) else ".".join(path)


def _parse(text: str | None, proto_class: type[message.Message]) -> Any:
    """The proto in an exec property, None if it is not set."""
    if not text:
        return None
    try:
        return json_format.Parse(text, proto_class(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise errors.OptionError(f"{proto_class.DESCRIPTOR.name} is not what its proto says: {error}") from None


def _requests(
    given: infra_validator_pb2.RequestSpec | None, extra: options.RequestOptions, *, examples: bool
) -> options.RequestOptions:
    proto = given or infra_validator_pb2.RequestSpec()
    # InfraValidator's own default, whatever other MetaGraphDefs there are.
    said: dict[str, Any] = {"tag_set": tuple(proto.tensorflow_serving.tag_set) or ("serve",)}
    if examples:  # without, a RequestSpec is of no use and does no harm
        said["signatures"] = tuple(proto.tensorflow_serving.signature_names)
        said["num_examples"] = proto.num_examples
        said["splits"] = (proto.split_name,) if proto.split_name else ()
    return options.RequestOptions(**_set(said) | {name: value for name, value in extra.given().items() if value != ()})


def _server(given: infra_validator_pb2.ServingSpec | None, extra: dict[str, Any]) -> options.ServerOptions:
    proto = given or infra_validator_pb2.ServingSpec()
    named = _PLATFORMS.get(proto.WhichOneof("serving_platform"))
    platform = extra.get("platform", named or options.DEFAULT_PLATFORM)
    if named and platform != named:
        raise errors.OptionError(
            f"serving_spec names the {named} platform, and server.platform is {platform}; drop one or the other."
        )
    said: dict[str, Any] = {"platform": platform, "model_name": proto.model_name}
    engine: dict[str, Any] = {}
    if platform == "docker":
        said["images"] = _images(proto.tensorflow_serving)
        engine = _engine(proto.local_docker)
    elif platform == "process" and proto.HasField("tensorflow_serving"):
        _log.warning("ServingSpec names an image and no platform; the process sandbox runs no image and ignores it.")
    # What LocalDockerConfig says of the engine comes before what the extras say.
    return options.server.make({**_set(said), **extra, **_set(engine)})


def _images(given: infra_validator_pb2.TensorFlowServing) -> tuple[str, ...]:
    """References as InfraValidator forms them."""
    name = given.image_name or _DEFAULT_IMAGE
    return (*(f"{name}:{tag}" for tag in given.tags), *(f"{name}@{digest}" for digest in given.digests))


def _engine(given: infra_validator_pb2.LocalDockerConfig) -> dict[str, Any]:
    return {
        "base_url": given.client_base_url,
        "api_version": given.client_api_version,
        "client_timeout_s": float(given.client_timeout_seconds),
        "host_ip_address": "" if given.host_ip_address == "localhost" else given.host_ip_address,
    }


def _limits(given: infra_validator_pb2.ValidationSpec | None) -> dict[str, Any]:
    proto = given or infra_validator_pb2.ValidationSpec()
    return _set({"max_loading_time_s": float(proto.max_loading_time_seconds), "num_tries": proto.num_tries})


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that a proto sets: proto3 does not tell a default value from none."""
    return {name: value for name, value in fields.items() if value}
