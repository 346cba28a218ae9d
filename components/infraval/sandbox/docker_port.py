"""A container's port that its engine publishes, which has to be this machine's engine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from infraval import errors

_CHECK_INTERVAL_S = 1.0
_CONNECT_TIMEOUT_S = 1.0

_LISTENING = "Running gRPC ModelServer at "
"""source: tensorflow_serving/model_servers/server.cc; the embedded server writes the same."""


class PublishedPort:
    """A TCP port of a server that may or may not be reached from here.

    Args:
      address: where the engine publishes it, `(host, port)`.
      url: of the engine.
      log: reads the server's log.
    """

    def __init__(self, address: tuple[str, int], url: str, log: Callable[[], str]) -> None:
        self._address = address
        self._url = url
        self._log = log
        self._reached = False
        self._next_s = 0.0

    def check(self) -> None:
        """Sees that a server which says it listens can be reached.

        Raises:
          SandboxError: it cannot.
        """
        if self._reached or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _CHECK_INTERVAL_S
        # First what is known, then the look: in between it may have begun to listen.
        listening = _LISTENING in self._log()
        self._reached = self._connects()
        if listening and not self._reached:
            host, port = self._address
            raise errors.SandboxError(
                f"The model server runs, and {host}:{port}, where the engine at {self._url} publishes its port, does "
                "not answer here: the engine is on another machine, or in another container. Name the address of its "
                "machine, in a network that you trust, with host_ip_address; or use an engine of this machine."
            )

    def _connects(self) -> bool:
        try:
            socket.create_connection(self._address, _CONNECT_TIMEOUT_S).close()
        except OSError:
            return False
        return True
