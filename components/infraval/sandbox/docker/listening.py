"""Whether a server in a container listens where it should, and can be reached from here."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from infraval import errors

_CHECK_INTERVAL_S = 1.0
_CONNECT_TIMEOUT_S = 1.0

_LISTENING = "Running gRPC ModelServer at "
"""source: tensorflow_serving/model_servers/server.cc; the embedded server writes the same."""


class ListeningCheck:
    """Tells a server that cannot be reached from one that is not ready yet.

    Args:
      reached: whether the server listens where it should.
      log: reads the server's log.
      message: of the error if the server listens somewhere else.
    """

    def __init__(self, reached: Callable[[], bool], log: Callable[[], str], message: str) -> None:
        self._is_reached = reached
        self._log = log
        self._message = message
        self._reached = False
        self._next_s = 0.0

    def check(self) -> None:
        """Checks that a server whose log says that it listens can be reached.

        Raises:
          SandboxError: it cannot.
        """
        if self._reached or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _CHECK_INTERVAL_S
        if self._is_reached():
            self._reached = True
            return
        # The log first: between the two it may have begun to listen.
        listening = _LISTENING in self._log()
        self._reached = self._is_reached()
        if listening and not self._reached:
            raise errors.SandboxError(self._message)


def connects(address: tuple[str, int]) -> bool:
    """Whether anything listens at `(host, port)`."""
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
