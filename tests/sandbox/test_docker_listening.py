"""A server that listens elsewhere is told from one that only prints so, by the kernel's own tables."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import errors
from infraval.sandbox.docker import listening

LOG = "I server.cc:423] Running gRPC ModelServer at 0.0.0.0:8500 ...\n"
LISTENING = "   0: 00000000:2134 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 1 1 0\n"


Start = Callable[[], listening.ListeningCheck]


def tables() -> str:
    """The tables of this process's network, as they are read in a container."""
    return subprocess.run(listening.READ_SOCKETS, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_is_found_while_somebody_listens(address: str) -> None:
    """Not while it is only bound, and not because of connections from or to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert str(port) not in listening.addresses(tables())
        server.listen()
        assert str(port) in listening.addresses(tables())
        client.connect((address, port))
        with server.accept()[0]:
            assert str(client.getsockname()[1]) not in listening.addresses(tables())
            server.close()
            assert str(port) not in listening.addresses(tables())


def test_a_unix_socket_is_found_while_somebody_listens(tmp_path: Path) -> None:
    """By its path."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert path not in listening.addresses(tables())
        server.listen()
        assert path in listening.addresses(tables())


@given(st.text() | st.text(alphabet="0123456789ABCDEF: \n/"))
def test_other_text_does_not_raise(text: str) -> None:
    """Whatever a command in the container writes instead of tables."""
    assert "" not in listening.addresses(text)


class Server:
    """What a check sees of a server; counts what it looked at."""

    def __init__(self) -> None:
        self.reached = False
        self.log = LOG
        self.sockets = LISTENING
        self.looks: list[str] = []
        self._looked = threading.Condition()

    def look(self, what: str) -> None:
        """Notes that the check has looked."""
        with self._looked:
            self.looks.append(what)
            self._looked.notify_all()

    def wait_for(self, what: str, times: int) -> None:
        """Waits until the check has looked at that so many times."""
        with self._looked:
            assert self._looked.wait_for(lambda: self.looks.count(what) >= times, 60)

    def is_reached(self) -> bool:
        """Whether it listens where it should."""
        self.look("reached")
        return self.reached

    def read_log(self) -> str:
        """Its log."""
        self.look("log")
        if not self.log:
            raise errors.ServerLostError("gone")
        return self.log

    def read_sockets(self) -> str:
        """The tables of its container."""
        self.look("sockets")
        return self.sockets


@pytest.fixture
def server() -> Server:
    """One that listens elsewhere, unless it is changed."""
    return Server()


@pytest.fixture
def start(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], listening.ListeningCheck]]:
    """Starts to check the server."""
    monkeypatch.setattr(listening, "_CHECK_INTERVAL_S", 0.001)
    check = listening.ListeningCheck(server.is_reached, server.read_log, server.read_sockets, "elsewhere")

    def begin() -> listening.ListeningCheck:
        check.start()
        return check

    yield begin
    check.close()
    assert not any(thread.name == "listening check" for thread in threading.enumerate())


def test_a_server_that_listens_elsewhere_is_an_error(
    start: Start, server: Server, eventually: Callable[[Callable[[], object]], bool]
) -> None:
    """After two looks, as it may listen at one address after the other."""
    check = start()

    def fails() -> bool:
        with contextlib.suppress(errors.SandboxError):
            check.check()
            return False
        return True

    assert eventually(fails)
    assert server.looks.count("sockets") == 2


@pytest.mark.parametrize("sockets", ["", LISTENING.replace("2134", "2135"), LISTENING.replace(" 0A ", " 01 ")])
def test_a_line_alone_is_no_error(sockets: str, start: Start, server: Server) -> None:
    """A model can print it: nothing listens there, or the tables cannot be read."""
    server.sockets = sockets
    check = start()
    server.wait_for("sockets", 5)
    check.check()


def test_sockets_alone_are_no_error(start: Start, server: Server) -> None:
    """Other programs of an image may listen; without the line, their tables are not even read."""
    server.log = "I still loading\n"
    check = start()
    server.wait_for("log", 5)
    check.check()
    assert "sockets" not in server.looks


def test_a_server_that_is_reached_is_not_looked_at_any_more(start: Start, server: Server) -> None:
    """Whatever it has logged."""
    server.reached = True
    check = start()
    server.wait_for("reached", 1)
    check.close()
    check.check()
    assert server.looks == ["log", "sockets", "reached"]


def test_a_log_that_cannot_be_read_for_a_while_is_read_again(start: Start, server: Server) -> None:
    """Connections to an engine break; whether it is gone for good is for others to say."""
    server.log = ""
    check = start()
    server.wait_for("log", 3)
    check.check()
    server.log = LOG
    server.wait_for("sockets", 2)
