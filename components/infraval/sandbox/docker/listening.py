"""Whether a server that cannot be reached listens elsewhere, for which its image or the engine is to blame.

A model can print what servers log, so a line of the log is only a claim. The kernel's tables of sockets, read by a
command in the container, are the evidence.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable

from infraval import errors
from infraval.sandbox import serving_log

READ_SOCKETS = ("cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/unix")
"""Writes the tables of sockets in a container's network."""

_CHECK_INTERVAL_S = 1.0
_CONNECT_TIMEOUT_S = 1.0
_JOIN_TIMEOUT_S = 1.0

_TCP = re.compile(r"^ *\d+: [0-9A-F]+:(?P<port>[0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A ", re.MULTILINE)
"""State 0A is TCP_LISTEN; see proc_net_tcp in the kernel's documentation."""

_UNIX = re.compile(r"^[0-9a-fA-F]+: [0-9A-F]+ [0-9A-F]+ 00010000 [0-9A-F]+ [0-9A-F]+ +\d+ (?P<path>\S+)$", re.MULTILINE)
"""The flag is __SO_ACCEPTCON; see proc_pid_net(5)."""


class ListeningCheck:
    """Looks for a server that listens elsewhere, in a thread of its own.

    Args:
      reached: whether the server listens where it should.
      log: reads the server's log.
      sockets: reads the tables of `READ_SOCKETS`; may block until the container ends.
      message: of the error if the server listens elsewhere.
    """

    def __init__(
        self, reached: Callable[[], bool], log: Callable[[], str], sockets: Callable[[], str], message: str
    ) -> None:
        self._reached = reached
        self._log = log
        self._sockets = sockets
        self._message = message
        self._elsewhere = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="listening check")

    def start(self) -> None:
        """Starts to look; call it once the container has started."""
        self._thread.start()

    def check(self) -> None:
        """Raises SandboxError if the server listens elsewhere."""
        if self._elsewhere:
            raise errors.SandboxError(self._message)

    def close(self) -> None:
        """Ends the thread, unless it is reading a table: then the container's end does."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _watch(self) -> None:
        before = False
        while not self._closed.wait(_CHECK_INTERVAL_S):
            elsewhere = self._listens()
            # After that: it may have begun to listen where it should.
            if self._reached():
                return
            # Twice: a server listens at one address after the other.
            if before and elsewhere:
                self._elsewhere = True
                return
            before = elsewhere

    def _listens(self) -> bool:
        """Whether the server listens at an address that its log names."""
        try:
            claimed = serving_log.addresses(self._log())
        except errors.ServerLostError:
            return False  # whoever waits for the container's end says so
        return bool(claimed) and not claimed.isdisjoint(addresses(self._sockets()))


def addresses(tables: str) -> set[str]:
    """The TCP ports and the paths of unix sockets that somebody listens at, from the tables of `READ_SOCKETS`."""
    ports = {str(int(found["port"], 16)) for found in _TCP.finditer(tables)}
    return ports | {found["path"] for found in _UNIX.finditer(tables)}


def connects(address: tuple[str, int]) -> bool:
    """Whether anything listens at `(host, port)`."""
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
