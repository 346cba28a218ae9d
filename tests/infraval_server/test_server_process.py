"""The server as a process: sockets, signals, versions, start-up errors."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from tensorflow_serving.apis import get_model_status_pb2

SINK = Path(__file__).parent.parent / "golden" / "models" / "sink" / "1"
LISTEN = "0A"


def tcp_listeners(pid: int) -> list[tuple[str, int]]:
    """Addresses and ports at which a process listens for TCP, from /proc."""
    descriptors = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            descriptors.add(str(descriptor.readlink()))
    listeners = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTEN and f"socket:[{columns[9]}]" in descriptors:
                words, port = columns[1].split(":")
                # The kernel writes each 32-bit word in the machine's byte order; gRPC's sockets are dual-stack.
                packed = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
                address = ipaddress.ip_address(packed)
                listeners.append((str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)))
    return listeners


def model_status(server: Any, target: str = "") -> Any:
    """The GetModelStatus response for the model `sink`."""
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "sink"})
    return server.call(
        "GetModelStatus", request, get_model_status_pb2.GetModelStatusResponse, "ModelService", target=target
    )


def test_socket_is_private_and_the_only_listener(sink_server: Any) -> None:
    """With --port=0 nothing listens on TCP, and only the owner may connect to the UNIX socket."""
    assert tcp_listeners(sink_server.pid) == []
    assert stat.S_IMODE(sink_server.socket_path.stat().st_mode) == 0o600


def test_tcp_binds_the_loopback_address_only(start: Any, free_port: int) -> None:
    """With --port the server answers on 127.0.0.1 and listens on no other address."""
    server = start(f"--port={free_port}")
    server.wait_until_serving()
    assert tcp_listeners(server.pid) == [("127.0.0.1", free_port)]
    assert model_status(server, target=f"127.0.0.1:{free_port}").model_version_status[0].version == 1


def test_taken_port_is_a_start_up_error(start: Any) -> None:
    """A port at which another program listens ends the server with 255 and a message that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = start(f"--port={port}")
        assert server.wait_until_ended() == 255
    assert f"Failed to BuildAndStart gRPC server: cannot listen at 127.0.0.1:{port}" in server.log()


def test_two_servers_do_not_share_a_port(start: Any, free_port: int) -> None:
    """A second server on a port is refused, where gRPC by default lets both have it."""
    first = start(f"--port={free_port}")
    first.wait_until_serving()
    assert start(f"--port={free_port}").wait_until_ended() == 255


def test_rest_binds_the_loopback_address_only(start: Any) -> None:
    """With --rest_api_port the server listens for HTTP on 127.0.0.1 and on no other address."""
    server = start(rest=True)
    server.wait_until_serving()
    assert tcp_listeners(server.pid) == [("127.0.0.1", server.rest_port)]
    assert server.http("GET", "/v1/models/sink").status == 200


def test_rest_comes_up_after_the_first_load(start: Any, one_record: bytes) -> None:
    """Nothing listens for HTTP while the model still warms up."""
    server = start("--num_request_iterations_for_warmup=1000000000", warmup=one_record, rest=True)
    server.wait_until_logged("Starting to read warmup data")
    assert tcp_listeners(server.pid) == []


def test_taken_rest_port_leaves_grpc_alone(start: Any) -> None:
    """A REST port at which another program listens is logged; gRPC answers, as with TensorFlow Serving."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = start(f"--rest_api_port={port}")
        server.wait_until_logged(f"Failed to start HTTP Server at localhost:{port}: ")
        assert model_status(server).model_version_status[0].version == 1


def test_one_port_for_both_is_grpcs(start: Any, free_port: int) -> None:
    """With one number for --port and --rest_api_port the server skips REST and says so."""
    server = start(f"--port={free_port}", f"--rest_api_port={free_port}")
    server.wait_until_logged("server_options.http_port cannot be same as grpc_port.")
    assert model_status(server, target=f"127.0.0.1:{free_port}").model_version_status[0].version == 1


def test_stale_socket_is_replaced(start: Any, tmp_path: Path) -> None:
    """A socket file that a killed server left does not hinder the next one."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = start(socket_path=path)
    server.wait_until_serving()
    assert model_status(server).model_version_status[0].version == 1


def test_live_socket_is_left_alone(start: Any, sink_server: Any) -> None:
    """A second server does not take the socket of a running one."""
    server = start(socket_path=sink_server.socket_path)
    assert server.wait_until_ended() == 255
    assert "another server is listening at" in server.log()
    assert model_status(sink_server).model_version_status[0].version == 1


def test_rest_on_a_socket_opens_no_port(start: Any, tmp_path: Path) -> None:
    """Only the owner may connect; a stale socket is replaced, a live one left alone, and none stays after the end."""
    path = tmp_path / "rest.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = start(f"--rest_api_socket_path={path}")
    server.wait_until_logged("Exporting HTTP/REST API")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tcp_listeners(server.pid) == []
    second = start(f"--rest_api_socket_path={path}")
    second.wait_until_logged("Failed to start HTTP Server")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /v1/models/sink HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: client.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"AVAILABLE" in received
    assert server.end() == 0
    assert not path.exists()


def test_long_socket_path_is_a_clear_error(start: Any, tmp_path: Path) -> None:
    """A path that no UNIX socket can have is refused with both lengths."""
    path = tmp_path / ("s" * 108)
    server = start(socket_path=path)
    assert server.wait_until_ended() == 255
    assert f"--grpc_socket_path is {len(str(path))} bytes long, but" in server.log()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--grpc_socket_path=",), "At least one of server_options.grpc_port or"),
        (
            ("--model_base_path=",),
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
        ),
        (("--model_base_path=relative",), "to have an absolute path or URI; got base_path()=relative"),
        (("--enable_batching", "--batching_parameters_file=/nowhere"), "NOT_FOUND: /nowhere; No such file"),
        (("--grpc_max_threads=0",), "--grpc_max_threads must be 1 or more, not 0"),
        (("--port=65536",), "--port must be between 0 and 65535, not 65536"),
        (("--port=-1",), "--port must be between 0 and 65535, not -1"),
        (("--rest_api_port=65536",), "--rest_api_port must be between 0 and 65535, not 65536"),
        (("--rest_api_port=-1",), "--rest_api_port must be between 0 and 65535, not -1"),
        (("--rest_api_num_threads=0",), "--rest_api_num_threads must be 1 or more, not 0"),
        (("--import-ops=no_such_module_anywhere",), "--import-ops=no_such_module_anywhere cannot be imported"),
    ],
)
def test_options_that_make_no_sense_are_start_up_errors(flags: tuple[str, ...], message: str, start: Any) -> None:
    """The server ends with 255 and says why before it looks at the model."""
    server = start(*flags)
    assert server.wait_until_ended() == 255
    assert "Failed to start server. Error: " in server.log()
    assert message in server.log()
    assert "Loading servable" not in server.log()


def test_import_ops_come_before_the_model(
    start_interpreter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module named by --import-ops is imported before the model loads."""
    (tmp_path / "my_ops.py").write_text("print('my ops are registered', flush=True)", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = start_interpreter("--import-ops=my_ops")
    server.wait_until_logged("Loading servable")
    assert server.log().index("my ops are registered") < server.log().index("Loading servable")


@pytest.mark.parametrize("end_signal", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_serving_server(end_signal: signal.Signals, start: Any) -> None:
    """SIGTERM and SIGINT end the server with exit code 0 and remove its socket."""
    server = start()
    server.wait_until_serving()
    assert server.end(end_signal) == 0
    assert not server.socket_path.exists()


def test_signal_ends_a_server_with_rest(start: Any) -> None:
    """The same with HTTP connections open, one of them in the middle of a request."""
    server = start(rest=True)
    server.wait_until_serving()
    address = ("127.0.0.1", server.rest_port)
    with socket.create_connection(address), socket.create_connection(address) as sending:
        sending.sendall(b"POST /v1/models/sink:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert server.end() == 0


def test_signal_ends_a_loading_server(start: Any, one_record: bytes) -> None:
    """A server in the middle of a warmup that would take hours ends with exit code 0."""
    server = start("--num_request_iterations_for_warmup=1000000000", warmup=one_record)
    server.wait_until_logged("Starting to read warmup data")
    assert server.end() == 0


def test_signal_ends_a_starting_server(start_interpreter: Any) -> None:
    """A server that is still importing TensorFlow ends with exit code 0."""
    server = start_interpreter("--no_such_flag")
    server.wait_until_logged("unknown argument")
    assert server.end() == 0
    assert "Ended by SIGTERM" in server.log()
    assert "Loading servable" not in server.log()


def test_newest_version_is_served(start: Any) -> None:
    """The highest number counts, not the last in the alphabet; names that are no number are skipped."""
    server = start(versions=dict.fromkeys(("9", "10", "2x", "latest"), SINK))
    server.wait_until_serving()
    assert [version.version for version in model_status(server).model_version_status] == [10]


@pytest.mark.parametrize(
    ("versions", "flags", "logged"),
    [
        ({"latest": SINK}, (), "No versions of servable sink found under base path <base>."),
        ({}, ("--model_base_path=/nowhere/at/all",), "Could not find base path /nowhere/at/all for servable sink"),
    ],
)
def test_waits_without_a_version(versions: Any, flags: tuple[str, ...], logged: str, start: Any) -> None:
    """Without a version the server says so and waits, without gRPC, until a signal ends it."""
    server = start(*flags, versions=versions)
    server.wait_until_logged(logged.replace("<base>", str(server.base_path)))
    assert not server.socket_path.exists()
    assert server.end() == 0


def test_load_is_retried(start: Any) -> None:
    """A load that fails is tried again as often as the flag says, and the log counts."""
    flags = ("--max_num_load_retries=2", "--load_retry_interval_micros=1000", "--num_request_iterations_for_warmup=1")
    server = start(*flags, warmup=b"this is no TFRecord file")
    assert server.wait_until_ended() == 255
    log = server.log()
    assert log.count("Loading servable: {name: sink version: 1} failed: DATA_LOSS") == 3
    assert "Retrying of Loading servable: {name: sink version: 1} retry: 2" in log
    assert "Retrying of Loading servable: {name: sink version: 1} exhausted max_num_retries: 2" in log
