"""Parsing a serialized proto whole or not at all, as C++ does."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError


def parse(content: bytes, into: Any) -> None:
    """Parses a serialized message.

    Args:
      content: all bytes of the message.
      into: an empty message, to be filled.

    Raises:
      DecodeError: the bytes are not such a message.
    """
    # protobuf 3.20 for Python stops at a stray end-group tag with only a warning.
    if into.ParseFromString(content) != len(content):
        raise DecodeError
