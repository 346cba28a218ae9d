"""REST to servers in this process that misbehave: sizes are capped, and every failure is a code."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from infraval import errors
from infraval.trial import client, rest_client

TIMEOUT_S = 30.0
Answer = Callable[["Handler"], bool]
Serve = Callable[[Answer], str]


class Handler(socketserver.StreamRequestHandler):
    """Reads requests of one connection, each of which is answered in the test's way, as long as that says so."""

    def handle(self) -> None:
        """Answers."""
        self.server.connections += 1  # type: ignore[attr-defined]
        while self.read() and self.server.answer(self):  # type: ignore[attr-defined]
            pass

    def read(self) -> bool:
        """Reads a request; whether there was one."""
        length = 0
        first = self.rfile.readline()
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        return bool(first)

    def reply(self, status: int, body: bytes, length: int | None = None) -> None:
        """Sends a response."""
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
        self.wfile.write(head.encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    connections = 0
    answer: Answer


@pytest.fixture
def servers() -> Iterator[list[_Server]]:
    """Those that run."""
    found: list[_Server] = []
    yield found
    for each in found:
        each.shutdown()
        each.server_close()


@pytest.fixture
def serve(servers: list[_Server]) -> Serve:
    """Serves, and returns the URL."""

    def start(answer: Answer) -> str:
        server = _Server(("127.0.0.1", 0), Handler)
        server.answer = answer
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    return start


def call(url: str, timeout_s: float = TIMEOUT_S, times: int = 1) -> tuple[str, str]:
    """The last outcome of some requests, one after the other."""
    with rest_client.Client(url, "a b") as connection:
        for _ in range(times):
            outcome = connection.call(client.Prepared("/v1/models/m:predict", b"{}"), timeout_s)
    return outcome


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, "OK"), (400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (503, "UNAVAILABLE"), (599, "UNKNOWN")],
)
def test_a_status_is_the_code_that_grpc_has_for_it(
    status: int, code: str, serve: Serve, servers: list[_Server]
) -> None:
    """The connection stays open, also after an error."""

    def answer(handler: Handler) -> bool:
        handler.reply(status, b"said")
        return True

    assert call(serve(answer), times=3) == (code, "" if status == 200 else "said")
    assert servers[0].connections == 1


def test_a_connection_that_was_closed_while_idle_is_opened_again(serve: Serve, servers: list[_Server]) -> None:
    """That is not a failure of the request."""

    def answer(handler: Handler) -> bool:
        handler.reply(200, b"{}")
        return False

    assert call(serve(answer), times=3) == ("OK", "")
    assert servers[0].connections == 3


def _closed(_: Handler) -> bool:
    return False


def _no_http(handler: Handler) -> bool:
    handler.wfile.write(b"SSH-2.0\r\n\r\n")
    return False


def _long_line(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 " + b"x" * 200_000)
    return False


def _cut_off(handler: Handler) -> bool:
    handler.reply(200, b"{}", length=100)
    return False


@pytest.mark.parametrize("answer", [_closed, _no_http, _long_line, _cut_off])
def test_what_is_no_answer_is_unavailable(answer: Answer, serve: Serve) -> None:
    """Whatever comes instead."""
    code, message = call(serve(answer))
    assert code == "UNAVAILABLE"
    assert message


def test_nobody_listens(serve: Serve, servers: list[_Server]) -> None:
    """Nor is it available."""
    url = serve(_closed)
    servers[0].shutdown()
    servers[0].server_close()
    servers.clear()
    assert call(url)[0] == "UNAVAILABLE"
    with rest_client.Client(url, "m") as connection:
        assert not connection.available()


def test_sizes_are_capped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of answers and of messages; what is left is not read."""
    monkeypatch.setattr(client, "MAX_RESPONSE_BYTES", 1000)

    def endless(status: int) -> Answer:
        def answer(handler: Handler) -> bool:
            try:
                handler.reply(status, b"x" * 100_000, length=1 << 40)
                handler.rfile.read()
            except ConnectionError:
                pass
            return False

        return answer

    assert call(serve(endless(200)))[0] == "RESOURCE_EXHAUSTED"
    code, message = call(serve(endless(500)))
    assert (code, len(message)) == ("INTERNAL", client.MAX_ERROR_LENGTH)


def test_an_answer_that_does_not_come_is_late(serve: Serve) -> None:
    """At all, or to its end."""
    ended = threading.Event()

    def begun(handler: Handler) -> bool:
        handler.reply(200, b"{", length=2)
        ended.wait(TIMEOUT_S)
        return False

    def hangs(_: Handler) -> bool:
        ended.wait(TIMEOUT_S)
        return False

    for answer in (begun, hangs):
        assert call(serve(answer), timeout_s=0.1)[0] == "DEADLINE_EXCEEDED"
    ended.set()


def test_requests_are_sent_at_the_same_time(serve: Serve) -> None:
    """Without waiting; after the end, each is cancelled."""
    together = threading.Barrier(8)

    def answer(handler: Handler) -> bool:
        together.wait(TIMEOUT_S)
        handler.reply(200, b"{}")
        return True

    found: list[str] = []
    all_of_them = threading.Semaphore(0)

    def on_end(code: str, _message: str) -> None:
        found.append(code)
        all_of_them.release()

    connection = rest_client.Client(serve(answer), "m")
    for _ in range(8):
        connection.start(client.Prepared("/", b"{}"), TIMEOUT_S, on_end)
    for _ in range(8):
        assert all_of_them.acquire(timeout=TIMEOUT_S)
    connection.close()
    connection.start(client.Prepared("/", b"{}"), TIMEOUT_S, on_end)
    assert found == ["OK"] * 8 + ["CANCELLED"]


@pytest.mark.parametrize(
    "url", ["localhost:8501", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://h/?a=b"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(errors.OptionError):
        rest_client.Client(url, "m")
