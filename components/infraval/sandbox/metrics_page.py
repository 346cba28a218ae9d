"""The page that a server has for Prometheus: its configuration, an HTTP request for it, and what comes back.

The server is untrusted, so what is read is limited in size and time.
"""

from __future__ import annotations

import re
import secrets
import socket
import time

MAX_BYTES = 4 << 20
"""Of the answer; TF Serving 2.16.1 sends 48 KB with one model."""

_TIMEOUT_S = 5.0

_CHUNK_BYTES = 1 << 16


class NoPageError(Exception):
    """A server's page was to be read and could not be; the message is a sentence that says why."""


def new_path() -> str:
    """A path that nobody else knows: another server at the same port has no page there, and another user no access."""
    return f"/{secrets.token_hex(16)}"


def config(path: str) -> str:
    """The content of a `--monitoring_config_file`."""
    return f'prometheus_config {{ enable: true path: "{path}" }}\n'


def request(path: str) -> str:
    """An HTTP request for the page, after which the server hangs up."""
    return f"GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def content(received: bytes) -> bytes | None:
    """The page in what a server answered; None if it is none, or too large."""
    head, _, page = received.partition(b"\r\n\r\n")
    good = re.match(rb"HTTP/1\.[01] 200 ", head) and len(received) <= MAX_BYTES
    return page if good else None


def read(address: str | tuple[str, int], path: str) -> bytes | None:
    """The page of the server at a UNIX socket's path or a TCP address; None if there is none.

    Raises:
      OSError: nobody listens at the address.
    """
    deadline_s = time.monotonic() + _TIMEOUT_S
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(address)
        try:
            connection.sendall(request(path).encode())
            received = bytearray()
            while (chunk := connection.recv(_CHUNK_BYTES)) and len(received) <= MAX_BYTES:
                received += chunk
                connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        except OSError:  # it was late, or hung up
            return None
    return content(bytes(received))
