"""Parsing a serialized proto whole or not at all, with every version of protobuf."""

from __future__ import annotations

from typing import Any

from google.protobuf import message


def parse(content: bytes, into: Any) -> None:
    """Parses all bytes of a serialized message into an empty one.

    Raises:
      DecodeError: the bytes are not such a message.
    """
    # At a stray end-group tag, which ordinary text often contains, protobuf 3.20 stops with just a warning.
    if into.ParseFromString(content) != len(content):
        raise message.DecodeError
