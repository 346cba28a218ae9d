"""Parsing a serialized proto whole or not at all, on every protobuf."""

from __future__ import annotations

from typing import Any

from google.protobuf import message


def parse(content: bytes, into: Any) -> None:
    """Parses a serialized message.

    Args:
      content: all bytes of the message.
      into: an empty message, to be filled.

    Raises:
      DecodeError: the bytes are no such message.
    """
    # At a stray end-group tag, as in much ordinary text, protobuf 3.20 stops with no more than a warning.
    if into.ParseFromString(content) != len(content):
        raise message.DecodeError
