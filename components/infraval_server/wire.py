"""Protos: parsing whole or not at all, as C++ does, and classes of those that no wheel carries."""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
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


def message_class(pool: Any, name: str) -> Any:
    """The class of a message that a descriptor pool has under that full name."""
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # protobuf 3.20
