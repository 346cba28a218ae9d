"""Gate: the model's files and its messages are small enough."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from infraval import evidence, options, verdict


@dataclasses.dataclass(frozen=True)
class Size:
    """Passes a model whose files fit into the space for them, and whose messages gRPC takes.

    Attributes:
      options: how much is too much.
    """

    options: options.SizeGate
    name: ClassVar[str] = "size"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The bytes of the model's files; a message that is too large is a reason."""
        responses = (shown.without_warmup or shown.boot).responses
        asked = self.options
        reasons = []
        if asked.max_bytes is not None and shown.model_bytes > asked.max_bytes:
            reasons.append(
                f"The model's files have {shown.model_bytes} bytes, and gates.size.max_bytes is {asked.max_bytes}."
            )
        if responses.largest_bytes > asked.max_response_bytes:
            reasons.append(
                f"The largest response has {responses.largest_bytes} bytes, and gates.size.max_response_bytes is "
                f"{asked.max_response_bytes}. By default, gRPC's clients take at most 4 MiB; raise this if yours take "
                "more."
            )
        if asked.max_request_bytes is not None and responses.largest_request_bytes > asked.max_request_bytes:
            reasons.append(
                f"The largest request has {responses.largest_request_bytes} bytes, and gates.size.max_request_bytes "
                f"is {asked.max_request_bytes}."
            )
        status = verdict.Status.FAILED if reasons else verdict.Status.PASSED
        return verdict.Finding(self.name, status, tuple(reasons), shown.model_bytes, asked.max_bytes, "bytes")
