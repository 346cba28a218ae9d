"""What a server answered to requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from infraval import options

OK = "OK"
"""Name of the gRPC status code of an answer."""

LATE = "DEADLINE_EXCEEDED"
"""The same if there was none in time."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one request.

    Attributes:
      cell: the cell that the request belongs to.
      code: name of the gRPC status code, `OK` for an answer.
      message: the server's error message, redacted; empty for an answer.
      latency_s: seconds from sending the request to its answer or error.
      sent_s: when it was sent, in seconds since the boot began; None if that is not known.
    """

    cell: options.Cell
    code: str
    message: str
    latency_s: float
    sent_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the server answered."""
        return self.code == OK


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer that was kept for the gates, which no output may hold.

    Attributes:
      cell: the cell of its request.
      content: the serialized response message.
      shapes: for Predict, of the inputs that were sent, by alias.
      output_filter: for Predict, the outputs that were asked for; empty for all.
    """

    cell: options.Cell
    content: bytes = dataclasses.field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    output_filter: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Responses:
    """The answers of a boot.

    Attributes:
      kept: those that fit into the memory for them, in the order of the requests.
      answered: how many there were.
      largest_bytes: bytes of the largest of them, as a message.
      largest_request_bytes: the same of the requests that were answered.
    """

    kept: tuple[Response, ...] = ()
    answered: int = 0
    largest_bytes: int = 0
    largest_request_bytes: int = 0
