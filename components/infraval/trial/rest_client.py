"""The REST API of a model server, over connections that stay open: what `client` is for gRPC."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent import futures

from typing_extensions import Self

from infraval import errors, evidence
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import client, rest_json

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Of gRPC, by HTTP status (tensorflow_serving/util/net_http maps them the other way)."""

_CHUNK_BYTES = 1 << 16
_STATUS_TIMEOUT_S = 5.0


class Client:
    """Connections to the model of that name at a URL, one for each request in flight.

    Raises:
      OptionError: it is not the URL of a server.
    """

    most_at_once = 128
    """A thread waits for each answer."""

    def __init__(self, url: str, model_name: str) -> None:
        parts = urllib.parse.urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise errors.OptionError(f"--rest must be a URL such as http://localhost:8501, not {url!r}.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path = f"{parts.path.rstrip('/')}/v1/models/{urllib.parse.quote(model_name, safe='')}"
        self._own = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._pool = futures.ThreadPoolExecutor(self.most_at_once, thread_name_prefix="rest")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; what is in flight fails."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.close()

    def available(self) -> bool:
        """Whether the server says that it serves the model."""
        code, _ = self._exchange("GET", self._path, b"", _STATUS_TIMEOUT_S, len)
        return code == evidence.OK

    def prepare(self, log: prediction_log_pb2.PredictionLog) -> client.Prepared:
        """The request of a log, ready to be sent many times.

        Raises:
          NotSentError: REST has no such request.
        """
        verb, content = rest_json.body(log)
        return client.Prepared(f"{self._path}:{verb}", content)

    def call(
        self, prepared: client.Prepared, timeout_s: float, on_answer: Callable[[bytes], object] = len
    ) -> tuple[str, str]:
        """Sends a request and waits for its answer, of which `on_answer` gets the body.

        Returns:
          The name of the gRPC status code that stands for the HTTP status, and the server's message, which may contain
          request data; as long as that of `client.Client.send`.
        """
        return self._exchange("POST", prepared.method, prepared.content, timeout_s, on_answer)

    def start(self, prepared: client.Prepared, timeout_s: float, on_end: Callable[[str, str], object]) -> None:
        """Sends a request without waiting; `on_end` gets what `call` returns, once, in a thread of this client's."""
        try:
            self._pool.submit(lambda: on_end(*self.call(prepared, timeout_s)))
        except RuntimeError:  # the pool's answer once it is shut down
            on_end("CANCELLED", "The connection was closed.")

    def _exchange(
        self, verb: str, path: str, content: bytes, timeout_s: float, on_answer: Callable[[bytes], object]
    ) -> tuple[str, str]:
        deadline_s = time.monotonic() + timeout_s
        try:
            response = self._response(verb, path, content, timeout_s)
            is_answer = response.status == http.client.OK
            most = client.MAX_RESPONSE_BYTES if is_answer else client.MAX_ERROR_LENGTH
            received = _body(response, most, deadline_s)
        except TimeoutError:
            self._drop()
            return evidence.LATE, "There was no whole answer in time."
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            return "UNAVAILABLE", f"The server does not listen, or did not answer in HTTP ({type(error).__name__})."
        if response.will_close or len(received) > most:
            self._drop()
        if not is_answer:
            return _CODES.get(response.status, "UNKNOWN"), received[:most].decode(errors="replace")
        if len(received) > most:
            return "RESOURCE_EXHAUSTED", f"The answer is larger than {most >> 20} MiB, the most that infraval receives."
        on_answer(received)
        return evidence.OK, ""

    def _response(self, verb: str, path: str, content: bytes, timeout_s: float) -> http.client.HTTPResponse:
        """The beginning of the response to a request."""
        headers = {"Content-Type": "application/json"} if content else {}
        connection, is_used = self._connection(timeout_s)
        try:
            connection.request(verb, path, content or None, headers)
            return connection.getresponse()
        except ConnectionError:
            if not is_used:
                raise
            # The server has closed it while it was idle.
            self._drop()
            connection, _ = self._connection(timeout_s)
            connection.request(verb, path, content or None, headers)
            return connection.getresponse()

    def _connection(self, timeout_s: float) -> tuple[http.client.HTTPConnection, bool]:
        """The connection of this thread, and whether it has been used."""
        known: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if known is not None and known.sock is not None:
            known.sock.settimeout(timeout_s)
            return known, True
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        made = kind(self._host, self._port, timeout=timeout_s)
        self._own.connection = made
        self._open.add(made)
        return made, False

    def _drop(self) -> None:
        """Closes the connection of this thread."""
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
            self._open.discard(connection)


def _body(response: http.client.HTTPResponse, most: int, deadline_s: float) -> bytes:
    """The body of a response; if it has more than so many bytes, only a little more than these.

    Raises:
      TimeoutError: it is not whole by `deadline_s`, in seconds of `time.monotonic`.
      HTTPException: it is cut off.
    """
    received = bytearray()
    while len(received) <= most and (chunk := response.read1(_CHUNK_BYTES)):
        received += chunk
        if time.monotonic() > deadline_s:
            raise TimeoutError
    if len(received) <= most and response.length:
        raise http.client.IncompleteRead(b"")
    # Unlike `read`, `read1` leaves a response open that is at its end, and the connection would take no request.
    response.close()
    return bytes(received)
