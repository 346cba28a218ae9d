"""What the client connects to, and how much it takes from a server that does not mean well."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from infraval import errors
from infraval.sandbox import base
from infraval.trial import client

Serve = Callable[..., str]
LogOf = Callable[[str], prediction_log_pb2.PredictionLog]

NOBODY = 65534
TIMEOUT_S = 60.0


def listen(path: Path) -> socket.socket:
    """A socket at that path."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def test_a_server_that_does_not_listen_yet_is_waited_for(serve: Serve, private_directory: Path, log_of: LogOf) -> None:
    """The connection is made once there is a socket."""
    with client.Client(f"unix:{private_directory}/s", "m") as connection:
        assert not connection.available()
        assert connection.send(log_of(""), TIMEOUT_S)[0] == "UNAVAILABLE"
        serve()
        assert connection.available()
        assert connection.send(log_of(""), TIMEOUT_S) == ("OK", "")


@pytest.mark.parametrize(
    ("version", "label", "asked"),
    [
        (None, "", ""),
        (42, "", "version { value: 42 }"),
        (None, "stable", 'version_label: "stable"'),
        (42, "stable", 'version_label: "stable"'),
    ],
)
def test_requests_ask_for_what_production_asks_for(
    version: int | None, label: str, asked: str, serve: Serve, log_of: LogOf
) -> None:
    """A label, else a version, else the latest, whatever the log asks for."""
    received: list[Any] = []

    def answer(request: Any, _context: grpc.ServicerContext) -> Any:
        received.append(request.model_spec)
        return predict_pb2.PredictResponse()

    log = log_of("s")
    log.predict_log.request.model_spec.version.value = 7
    with client.Client(serve(answer), "m", version, label) as connection:
        assert connection.send(log, TIMEOUT_S) == ("OK", "")
        tasks = prediction_log_pb2.PredictionLog()
        tasks.multi_inference_log.request.tasks.add().model_spec.version_label = "old"
        received += [task.model_spec for task in connection.request_of(tasks).tasks]
    for model_spec in received:
        model_spec.ClearField("signature_name")
        assert text_format.MessageToString(model_spec, as_one_line=True) == f'name: "m" {asked}'.strip()
    assert len(received) == 2


def link(path: Path) -> None:
    """A link to a socket of this user."""
    listen(path.with_name("elsewhere")).close()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "make", [link, Path.touch, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nowhere")], ids=range(5)
)
def test_what_is_not_the_servers_socket_is_not_connected_to(
    make: Callable[[Path], object], private_directory: Path
) -> None:
    """A link could lead to any program of this machine, such as a container engine."""
    make(private_directory / "s")
    with (
        client.Client(f"unix:{private_directory}/s", "m") as connection,
        pytest.raises(errors.SandboxError, match="socket"),
    ):
        connection.available()


def test_another_users_socket_is_not_connected_to(private_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's owner must be the one whom its directory was made for."""
    with listen(private_directory / "s"):
        monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((0o140700, 0, 0, 1, NOBODY, 0, 0, 0, 0, 0)))
        with pytest.raises(errors.SandboxError, match="socket"):
            base.open_socket(private_directory / "s")


def test_a_socket_that_is_swapped_later_is_not_connected_to(private_directory: Path) -> None:
    """The descriptor stays what was checked, whatever the server puts in its place."""
    path = private_directory / "s"
    with (
        listen(path) as checked,
        listen(private_directory / "elsewhere") as elsewhere,
        socket.socket(socket.AF_UNIX) as connecting,
    ):
        elsewhere.setblocking(False)
        descriptor = base.open_socket(path)
        path.unlink()
        path.symlink_to("elsewhere")
        connecting.connect(f"/proc/self/fd/{descriptor}")
        checked.accept()[0].close()
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
        assert descriptor is not None
        os.close(descriptor)


def test_a_closed_client_holds_nothing(serve: Serve) -> None:
    """Neither the connection nor the socket."""
    target = serve()

    def held() -> set[str]:
        return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}

    with client.Client(target, "m") as connection:
        assert connection.available()
        assert target.removeprefix("unix:") in held()
    assert target.removeprefix("unix:") not in held()


def test_an_answer_is_received_up_to_a_size(serve: Serve, log_of: LogOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is larger is an outcome like any other error, and the connection serves on."""

    def answer(request: Any, _context: grpc.ServicerContext) -> Any:
        response = predict_pb2.PredictResponse()
        response.outputs["y"].tensor_content = bytes(int(request.model_spec.signature_name))
        return response

    small = {"grpc.max_receive_message_length": 10_000}
    options = tuple((name, small.get(name, value)) for name, value in client.CHANNEL_OPTIONS)
    monkeypatch.setattr(client, "CHANNEL_OPTIONS", options)
    with client.Client(serve(answer), "m") as connection:
        assert connection.send(log_of("9000"), TIMEOUT_S) == ("OK", "")
        code, message = connection.send(log_of("11000"), TIMEOUT_S)
        assert (code, "larger than" in message) == ("RESOURCE_EXHAUSTED", True)
        assert connection.send(log_of("9000"), TIMEOUT_S) == ("OK", "")


@pytest.mark.parametrize("length", [10, 10_000, 100_000])
def test_an_error_keeps_its_code_and_a_part_of_its_text(length: int, serve: Serve, log_of: LogOf) -> None:
    """By itself, gRPC loses the code of a long one."""

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "e" * length)

    with client.Client(serve(answer), "m") as connection:
        assert connection.send(log_of(""), TIMEOUT_S) == (
            "INVALID_ARGUMENT",
            "e" * min(length, client.MAX_ERROR_LENGTH),
        )


def test_an_endless_error_is_cut(serve: Serve, log_of: LogOf) -> None:
    """Ten megabytes are not received at all; it remains an error."""

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "e" * 10_000_000)

    with client.Client(serve(answer), "m") as connection:
        code, message = connection.send(log_of(""), TIMEOUT_S)
        assert code != "OK"
        assert len(message) <= client.MAX_ERROR_LENGTH
