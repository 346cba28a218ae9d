"""HTTP for the REST API: Tornado takes the requests on one thread, a pool of threads answers them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import socket
import threading
import zlib
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import cast

from tornado import httpserver, httputil, iostream, netutil

from infraval_server import ending, endpoints, flags, log, monitoring, rest, status

_MAX_BODY_BYTES = 256 * 1024 * 1024
"""Of a request, also once decompressed; TensorFlow Serving takes any."""

_GZIP = 16 + zlib.MAX_WBITS

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}

_IDLE_TIMEOUT_S = 50.0
"""A connection without a request is closed then, as libevent does."""


def start(options: flags.Options, respond: monitoring.Respond) -> None:
    """Serves on a daemon thread for the rest of the process.

    A port that cannot be had, or a monitoring config file that cannot be read, is logged, and gRPC goes on alone, as in
    TensorFlow Serving.

    Args:
      options: say where to listen, and with how many threads to answer.
      respond: see there; called on many threads at once.
    """
    respond = monitoring.counted(respond)
    if options.rest_api_enable_cors_support:
        respond = _with_cors(respond)
    path = options.rest_api_socket_path
    address = f"localhost:{options.rest_api_port}"  # TensorFlow Serving's word for any address
    if options.rest_api_port == 0:
        address = f"UNIX socket {path}"
    elif options.rest_api_port == options.port:
        log.error(
            "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
            "Skipped exporting HTTP/REST API."
        )
        return
    try:
        if options.monitoring_config_file:
            page_path = monitoring.page_path(options.monitoring_config_file)
            xla = options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled
            respond = monitoring.with_page(respond, page_path, xla=xla) if page_path else respond
        sockets = netutil.bind_sockets(options.rest_api_port, options.host) if options.rest_api_port != 0 else []
        if path:
            sockets.append(_unix_socket(path))
    except (OSError, ValueError, status.StatusError) as error:  # ValueError: the path is that of a file
        log.error(f"Failed to start HTTP Server at {address}: {error}")
        return
    logging.getLogger("tornado").setLevel(logging.ERROR)
    workers = concurrent.futures.ThreadPoolExecutor(options.rest_api_num_threads, thread_name_prefix="rest")
    connections = _Connections(respond, workers)
    threading.Thread(target=lambda: asyncio.run(_serve(sockets, connections)), name="http", daemon=True).start()
    log.info(f"Exporting HTTP/REST API at:{address} ...")


def _with_cors(respond: monitoring.Respond) -> monitoring.Respond:
    """What answers requests, and lets pages of any origin read what the API answers, as in TensorFlow Serving."""

    def answer(method: str, target: str, body: bytes) -> rest.Answer:
        answered = respond(method, target, body)
        return dataclasses.replace(answered, headers=_CORS) if answered.code else answered

    return answer


def _unix_socket(path: str) -> socket.socket:
    endpoints.remove_stale(Path(path))
    mask = os.umask(0o177)  # only this user may connect
    try:
        return netutil.bind_unix_socket(path)
    finally:
        os.umask(mask)


async def _serve(sockets: Sequence[socket.socket], connections: httputil.HTTPServerConnectionDelegate) -> None:
    server = httpserver.HTTPServer(
        connections,
        max_body_size=_MAX_BODY_BYTES,
        idle_connection_timeout=_IDLE_TIMEOUT_S,
    )
    server.add_sockets(sockets)
    await asyncio.Event().wait()  # the process ends it


class _Connections(httputil.HTTPServerConnectionDelegate):
    """Makes what handles the requests of all connections."""

    def __init__(self, respond: monitoring.Respond, workers: concurrent.futures.Executor) -> None:
        self.respond = respond
        self.workers = workers

    def start_request(
        self,
        server_conn: object,  # noqa: ARG002 - Tornado's signature
        request_conn: httputil.HTTPConnection,
    ) -> httputil.HTTPMessageDelegate:
        """See Tornado."""
        return _Request(self, request_conn)


class _Request(httputil.HTTPMessageDelegate):
    """Reads one request and replies to it."""

    def __init__(self, connections: _Connections, connection: httputil.HTTPConnection) -> None:
        self._connections = connections
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        """See Tornado."""
        self._start_line = cast("httputil.RequestStartLine", start_line)
        self._gzipped = "gzip" in headers.get("Content-Encoding", "")

    def data_received(self, chunk: bytes) -> None:
        """See Tornado."""
        self._chunks.append(chunk)

    def finish(self) -> None:
        """See Tornado."""
        self._task = asyncio.get_running_loop().create_task(self._reply())

    async def _reply(self) -> None:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._connections.workers, self._answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this server's own
            ending.for_bug(error)
        content = answer.text.encode(errors="surrogateescape")
        headers = httputil.HTTPHeaders({"Content-Type": answer.content_type, "Content-Length": str(len(content))})
        headers.update(answer.headers)
        phrase = {499: "Client Closed Request"}.get(answer.http_status) or HTTPStatus(answer.http_status).phrase
        written = self._connection.write_headers(
            httputil.ResponseStartLine("HTTP/1.1", answer.http_status, phrase),
            headers,
            None if self._start_line.method == "HEAD" else content,
        )
        self._connection.finish()
        with contextlib.suppress(iostream.StreamClosedError):  # the client is gone
            await written

    def _answer(self) -> rest.Answer:
        body = b"".join(self._chunks)
        if self._gzipped:
            body = _decompressed(body)
        return self._connections.respond(self._start_line.method, self._start_line.path, body)


def _decompressed(body: bytes) -> bytes:
    """What was gzipped; nothing, as in TensorFlow Serving, if that is corrupt, cut off or too large."""
    decompressor = zlib.decompressobj(_GZIP)
    try:
        content = decompressor.decompress(body, _MAX_BODY_BYTES)
    except zlib.error:
        return b""
    return content if decompressor.eof else b""
