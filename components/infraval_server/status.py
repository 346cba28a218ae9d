"""Errors as TensorFlow Serving knows them: a canonical code and a message."""

from __future__ import annotations

import enum
import re

_UNREGISTERED_OP = re.compile(r"Op type not registered '([^']+)'")


class Code(enum.IntEnum):
    """Canonical codes (source: google/rpc/code.proto); gRPC and TensorFlow use the same numbers."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class StatusError(Exception):
    """What TensorFlow Serving would return as a status that is not OK.

    Attributes:
      code: canonical code.
      message: the text; bytes that are not UTF-8 are surrogate escapes.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def unregistered_op(self) -> str | None:
        """The op that this TensorFlow lacks, if that is what went wrong."""
        match = _UNREGISTERED_OP.search(self.message)
        return match[1] if match else None


def invalid_argument(message: str) -> StatusError:
    """The most frequent error by far."""
    return StatusError(Code.INVALID_ARGUMENT, message)


def from_os_error(error: OSError, path: str) -> StatusError:
    """The status TensorFlow's file systems make of an operating system error on a path."""
    if isinstance(error, FileNotFoundError):
        code = Code.NOT_FOUND
    elif isinstance(error, PermissionError):
        code = Code.PERMISSION_DENIED
    elif isinstance(error, (NotADirectoryError, IsADirectoryError)):
        code = Code.FAILED_PRECONDITION
    else:
        code = Code.UNKNOWN
    return StatusError(code, f"{path}; {error.strerror}")
