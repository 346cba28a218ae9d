"""The page for Prometheus from servers that mean well, and from those that do not."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from infraval.sandbox import metrics_page

Address = str | tuple[str, int]
Serve = Callable[[Iterable[bytes]], Address]

PAGE = b"# TYPE x counter\nx{} 1\n"
TIMEOUT_S = 0.5
EVENTUALLY_S = 30.0


@pytest.fixture(params=["unix", "tcp"])
def serve(request: pytest.FixtureRequest, private_directory: Path) -> Iterator[Serve]:
    """Listens, and answers one connection with those bytes; returns the address."""
    tcp = request.param == "tcp"
    address: Address = ("127.0.0.1", 0) if tcp else str(private_directory / "h")
    with socket.socket(socket.AF_INET if tcp else socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(address)
        listening.listen()

        def start(chunks: Iterable[bytes]) -> Address:
            def answer() -> None:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    assert re.match(rb"GET /page HTTP/1\.0\r\n", connection.recv(4096))
                    for chunk in chunks:
                        connection.sendall(chunk)

            thread = threading.Thread(target=answer)
            thread.start()
            stack.callback(thread.join)
            name: Address = listening.getsockname()
            return name

        yield start


def test_a_page_is_read_whole(serve: Serve) -> None:
    """In however many parts it comes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    whole = head + PAGE
    assert metrics_page.read(serve(whole[at : at + 1] for at in range(len(whole))), "/page") == PAGE


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 404 Not Found\r\n\r\nx", b"HTTP/1.1 2000 OK\r\n\r\nx", b"SSH-2.0\r\n", b"\xff" * 100]
)
def test_any_other_answer_is_no_page(answer: bytes, serve: Serve) -> None:
    """Such as that of another server at the port."""
    assert metrics_page.read(serve([answer]), "/page") is None


def test_an_endless_page_is_cut_off(serve: Serve) -> None:
    """It is no page, and does not fill the memory."""
    head = [b"HTTP/1.1 200 OK\r\n\r\n"]
    assert metrics_page.read(serve(itertools.chain(head, itertools.repeat(b"x" * 65536))), "/page") is None


def test_a_server_that_dawdles_is_left(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if each part of the page comes in time."""
    monkeypatch.setattr(metrics_page, "_TIMEOUT_S", TIMEOUT_S)

    def drips() -> Iterator[bytes]:
        while True:
            time.sleep(TIMEOUT_S / 10)
            yield b"x"

    started_s = time.monotonic()
    assert metrics_page.read(serve(drips()), "/page") is None
    assert time.monotonic() - started_s < EVENTUALLY_S


def test_nobody_listens(private_directory: Path) -> None:
    """Which the caller may wait for."""
    with pytest.raises(OSError, match="No such file"):
        metrics_page.read(str(private_directory / "none"), "/page")


def test_each_page_has_a_path_of_its_own() -> None:
    """That nobody can guess, and that is in the config."""
    first, second = metrics_page.new_path(), metrics_page.new_path()
    assert first != second
    assert f'path: "{first}"' in metrics_page.config(first)
