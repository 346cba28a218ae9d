"""`--monitoring_config_file`, and the page with the metrics on the REST API's port.

Source: model_servers/http_server.cc and config/monitoring_config.proto.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from infraval_server import metrics, rest, text_proto, wire

_DEFAULT_PATH = "/monitoring/prometheus/metrics"

_MESSAGE_NAME = "tensorflow.serving.MonitoringConfig"

Respond = Callable[[str, str, bytes], rest.Answer]
"""Answers a request: its method, its target and its body."""


def page_path(config_file: str) -> str | None:
    """Where a monitoring config file wants the page to be, None for nowhere.

    Raises:
      StatusError: the file cannot be read, is empty, or is not a MonitoringConfig text proto.
    """
    config = _message_class()()
    text_proto.read(config_file, config, of_empty=f"Empty file: '{config_file}'")
    prometheus = config.prometheus_config
    return (prometheus.path or _DEFAULT_PATH) if prometheus.enable else None


def counted(respond: Respond) -> Respond:
    """What answers requests, and counts those for the API."""

    def answer(method: str, target: str, body: bytes) -> rest.Answer:
        started_s = time.perf_counter()
        answered = respond(method, target, body)
        name, api = rest.model_and_api(method, target)
        if answered.code == "OK":
            metrics.request(name, api, "REST", started_s)
        elif answered.code:
            metrics.REQUESTS.add(name, answered.code)
        return answered

    return answer


def with_page(respond: Respond, path: str, *, xla: bool) -> Respond:
    """What answers requests, with the page at that path; it takes any method, and no query.

    `xla`: see `metrics.page`.
    """

    def answer(method: str, target: str, body: bytes) -> rest.Answer:
        if target.partition("?")[0] != path:
            return respond(method, target, body)
        if target != path:
            return rest.Answer(400, f"Unexpected path: {target}. Should be {path}", "text/plain")
        return rest.Answer(200, metrics.page(xla=xla), "text/plain")

    return answer


def _message_class() -> Any:
    """MonitoringConfig, which no wheel carries."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="infraval/server/monitoring_config.proto", package="tensorflow.serving", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_BOOL)
    prometheus.field.add(name="path", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        label=field.LABEL_OPTIONAL,
        type=field.TYPE_MESSAGE,
        type_name=".tensorflow.serving.PrometheusConfig",
    )
    # A pool of its own: tensorflow_serving may come to ship the real file one day.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return wire.message_class(pool, _MESSAGE_NAME)
