"""Makes the options of a `Job` from InfraValidator's protos and infraval's own options."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
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
    "gates": options.GateOptions,
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
      splits: of the Examples to read; empty for the first one.
      request_spec: whether the parameter of that name is set.
      says_requests: whether that, or options about requests or the warmup file, say what to send.
      job: arguments of `Job`, without those that come from artifacts.
    """

    splits: tuple[str, ...]
    request_spec: bool
    says_requests: bool
    job: Mapping[str, Any]

    def expecting(self, patterns: Sequence[str]) -> Asked:
        """The same, with these files of expected responses as well."""
        requests = self.job["requests"]
        expected = (*requests.get("expected", ()), *patterns)
        return dataclasses.replace(self, job={**self.job, "requests": {**requests, "expected": expected}})

    def without_gate(self, name: str) -> Asked:
        """The same, without the options of a gate."""
        gates = self.job["gates"].model_dump(exclude_unset=True)
        if name not in gates:
            return self
        _log.warning("The gate %s does not judge, because its channel is empty.", name)
        del gates[name]
        return dataclasses.replace(self, job={**self.job, "gates": options.GateOptions.parse(gates)})

    def without_baseline(self) -> Asked:
        """The same, without the gates `baseline` and `swap` and the ratios of the gate `latency`."""
        asked = self.without_gate("baseline").without_gate("swap")
        gates = asked.job["gates"].model_dump(exclude_unset=True)
        latency = gates.get("latency", {})
        ratios = {name for name in latency if name.endswith("_ratio") and latency[name] is not None}
        if not ratios:
            return asked
        if not any(name.endswith("_ms") and bar is not None for name, bar in latency.items()):
            return asked.without_gate("latency")
        _log.warning("The gate latency has no bars beside the baseline, because its channel is empty.")
        gates["latency"] = {name: value for name, value in latency.items() if name not in ratios}
        return dataclasses.replace(asked, job={**asked.job, "gates": options.GateOptions.parse(gates)})

    def make_job(self, **given: Any) -> options.Job:
        """The job, with these arguments as well.

        Raises:
          OptionError: the options contradict each other.
        """
        return options.Job.parse({**self.job, **given}, {"make_warmup": "request_spec.make_warmup"})


def read(exec_properties: Mapping[str, Any], *, examples: bool) -> Asked:
    """Reads the parameters of an execution.

    Args:
      exec_properties: by the names in `PROTOS` and `EXTRAS`, and `server_messages`; each a string, or not set.
      examples: whether there are examples to build requests from.

    Raises:
      OptionError: a parameter cannot be read, or its value is invalid.
    """
    given = {name: _literal(value) for name, value in exec_properties.items()}
    serving, validation, request = (_parse(given.get(name), PROTOS[name]) for name in PROTOS)
    extras = {name: given.get(name) or "{}" for name in EXTRAS}
    extra = options.RequestOptions.from_json(extras["requests"])
    warmup = options.WarmupOptions.from_json(extras["warmup"])
    requests = _requests(request, extra, examples=examples)
    if requests.splits and not examples:
        raise errors.OptionError("requests.splits is about the examples, and there are none; drop it or give some.")
    max_loading_time_s = float(validation.max_loading_time_seconds)
    limits = _set({"max_loading_time_s": max_loading_time_s, "num_tries": validation.num_tries})
    job: dict[str, Any] = {
        "requests": {name: value for name, value in requests.given().items() if name != "splits"},
        "make_warmup": not given.get("request_spec") or request.make_warmup,
        "warmup": warmup,
        "server": _server(serving, options.base.read_object("server", extras["server"])),
        "limits": {**limits, **options.Limits.from_json(extras["limits"]).given()},
        "gates": options.GateOptions.from_json(extras["gates"]),
    }
    if given.get("server_messages"):
        job["server_messages"] = given["server_messages"]
    asks = bool(given.get("request_spec"))
    says = {*extra.given()} - {"expected", "max_expected"}
    return Asked(requests.splits, asks, asks or bool(says) or bool(warmup.given()), job)


def _literal(value: Any) -> Any:
    """The value of a parameter; for a RuntimeParameter, its default.

    InteractiveContext puts no values in place of RuntimeParameters: it passes on the RuntimeParameter, or its JSON.
    """
    if isinstance(value, str) and '"RuntimeParameter"' in value:
        try:
            return json.loads(value)["default"]
        except (ValueError, TypeError, KeyError):
            return value
    return value.default if isinstance(value, data_types.RuntimeParameter) else value


def _parse(text: str | None, proto_class: type[message.Message]) -> Any:
    try:
        return json_format.Parse(text or "{}", proto_class(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise errors.OptionError(
            f"{proto_class.DESCRIPTOR.name} cannot be parsed as that proto's JSON: {error}"
        ) from None


def _requests(
    proto: infra_validator_pb2.RequestSpec, extra: options.RequestOptions, *, examples: bool
) -> options.RequestOptions:
    # "serve" is InfraValidator's own default, whatever other MetaGraphDefs there are.
    said: dict[str, Any] = {"tag_set": tuple(proto.tensorflow_serving.tag_set) or ("serve",)}
    if examples:  # without them, the rest of a RequestSpec is ignored
        said["signatures"] = tuple(proto.tensorflow_serving.signature_names)
        said["num_examples"] = proto.num_examples
        said["splits"] = (proto.split_name,) if proto.split_name else ()
    return options.RequestOptions(**_set(said) | {name: value for name, value in extra.given().items() if value != ()})


def _server(proto: infra_validator_pb2.ServingSpec, extra: dict[str, Any]) -> options.ServerOptions:
    named = _PLATFORMS.get(proto.WhichOneof("serving_platform"))
    platform = extra.get("platform", named or options.DEFAULT_PLATFORM)
    if named and platform != named:
        raise errors.OptionError(
            f"serving_spec names the {named} platform, and server.platform is {platform}; drop one or the other."
        )
    said: dict[str, Any] = {"platform": platform, "model_name": proto.model_name}
    engine: dict[str, Any] = {}
    if platform == "docker":
        images = proto.tensorflow_serving
        name = images.image_name or _DEFAULT_IMAGE
        said["images"] = (*(f"{name}:{tag}" for tag in images.tags), *(f"{name}@{digest}" for digest in images.digests))
        host = proto.local_docker.host_ip_address
        engine = {
            "base_url": proto.local_docker.client_base_url,
            "api_version": proto.local_docker.client_api_version,
            "client_timeout_s": float(proto.local_docker.client_timeout_seconds),
            "host_ip_address": "" if host == "localhost" else host,
        }
    elif platform == "process" and proto.HasField("tensorflow_serving"):
        _log.warning("ServingSpec names an image and no platform; the process sandbox runs no image and ignores it.")
    # For the engine, LocalDockerConfig takes precedence over the extras.
    return options.ServerOptions.parse({**_set(said), **extra, **_set(engine)})


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that a proto sets: in proto3, a default value means not set."""
    return {name: value for name, value in fields.items() if value}
