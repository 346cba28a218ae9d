"""Where the server listens: a private UNIX socket, a TCP port, or both."""

from __future__ import annotations

import concurrent.futures
import os
import socket
import stat
from pathlib import Path
from typing import Any

import grpc

from infraval_server import flags, log, status

_MAX_SOCKET_PATH_BYTES = 107
"""sizeof(sockaddr_un.sun_path) less the closing zero, on Linux."""

_MAX_PORT = 65535

_SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server would silently share the port
)


def check(options: flags.Options) -> None:
    """Checks the options that say where to listen and with how many threads.

    Raises:
      StatusError: there is nowhere to listen, no thread, a port out of range, or a path too long for a socket.
    """
    if options.port == 0 and not options.grpc_socket_path:
        raise status.invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    for name in ("grpc_max_threads", "rest_api_num_threads"):
        threads = getattr(options, name)
        if threads < 1:
            raise status.invalid_argument(f"--{name} must be 1 or more, not {threads}.")
    for name in ("port", "rest_api_port"):
        port = getattr(options, name)
        if not 0 <= port <= _MAX_PORT:  # gRPC would take another one, what is left of it in 16 bits
            raise status.invalid_argument(f"--{name} must be between 0 and {_MAX_PORT}, not {port}.")
    for name in ("grpc_socket_path", "rest_api_socket_path"):
        path = getattr(options, name)
        length = len(os.fsencode(path))
        if length > _MAX_SOCKET_PATH_BYTES:
            raise status.invalid_argument(
                f"--{name} is {length} bytes long, but the path of a UNIX socket must not exceed "
                f"{_MAX_SOCKET_PATH_BYTES} bytes: {path}"
            )


def create_server(options: flags.Options) -> Any:
    """A grpc.Server that listens as the options say; it answers once it is started.

    Raises:
      StatusError: a port or path is taken or cannot be used.
    """
    workers = concurrent.futures.ThreadPoolExecutor(options.grpc_max_threads, thread_name_prefix="grpc")
    server = grpc.server(workers, options=_SERVER_OPTIONS)
    addresses = []
    if options.port != 0:
        host = f"[{options.host}]" if ":" in options.host else options.host
        _listen(server, f"{host}:{options.port}")
        addresses.append(f"{host}:{options.port}")
    if options.grpc_socket_path:
        remove_stale(Path(options.grpc_socket_path))
        mask = os.umask(0o177)  # only this user may connect
        try:
            _listen(server, f"unix:{options.grpc_socket_path}")
        finally:
            os.umask(mask)
        addresses.append(f"UNIX socket {options.grpc_socket_path}")
    # As TensorFlow Serving: not before it listens at all of them.
    for address in addresses:
        log.info(f"Running gRPC ModelServer at {address} ...")
    return server


def _listen(server: Any, address: str) -> None:
    failure = status.invalid_argument(
        f"Failed to BuildAndStart gRPC server: cannot listen at {address}. Another process may be using it, or you may "
        "lack the permission."
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise failure from error
    if port == 0:
        raise failure


def remove_stale(path: Path) -> None:
    """Removes the socket of a server that was killed; the socket of a running server stays.

    Raises:
      StatusError: there is a running server.
    """
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise status.invalid_argument(f"Failed to start server: another server is listening at {path}.")
