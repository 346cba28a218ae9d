"""Whether a server in a container listens where it is expected to, and within reach."""

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
    """Tells a server that is out of reach from one that is not ready yet.

    Args:
      reached: whether the server was found where it is expected.
      log: reads the server's log.
      message: of the error if the server listens, and not there.
    """

    def __init__(self, reached: Callable[[], bool], log: Callable[[], str], message: str) -> None:
        self._is_reached = reached
        self._log = log
        self._message = message
        self._reached = False
        self._next_s = 0.0

    def check(self) -> None:
        """Sees that a server which says it listens is there.

        Raises:
          SandboxError: it is not.
        """
        if self._reached or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _CHECK_INTERVAL_S
        if self._is_reached():
            self._reached = True
            return
        # First what is known, then the look: in between it may have begun to listen.
        listening = _LISTENING in self._log()
        self._reached = self._is_reached()
        if listening and not self._reached:
            raise errors.SandboxError(self._message)


def connects(address: tuple[str, int]) -> bool:
    """Whether somebody listens at `(host, port)`."""
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
