"""Parsing a serialized proto whole or not at all, with every version of protobuf."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

from google.protobuf import message
from google.protobuf.internal import api_implementation

_SET_LOG_HANDLER = "_ZN6google8protobuf13SetLogHandlerEPFvNS0_8LogLevelEPKciRKSsE"
"""google::protobuf::SetLogHandler, as the wheels of protobuf 3.20 export it."""


def parse(content: bytes, into: Any) -> None:
    """Parses all bytes of a serialized message into an empty one.

    Raises:
      DecodeError: the bytes are not such a message.
    """
    # At a stray end-group tag, which ordinary text often contains, protobuf 3.20 stops with just a warning.
    if into.ParseFromString(content) != len(content):
        raise message.DecodeError


def _silence() -> None:
    """Stops protobuf 3.20 from writing to standard error that it could not parse something; later versions do not."""
    if api_implementation.Type() != "cpp":
        return
    from google.protobuf.pyext import _message  # noqa: PLC0415 - only this implementation has it

    with contextlib.suppress(OSError, AttributeError):  # built in another way than the wheels: it stays noisy
        set_log_handler = ctypes.CDLL(_message.__file__)[_SET_LOG_HANDLER]
        set_log_handler.restype = ctypes.c_void_p
        set_log_handler(ctypes.c_void_p(None))


_silence()
