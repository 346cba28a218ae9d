"""How long and how often to try."""

from __future__ import annotations

from typing import Annotated, ClassVar

from infraval.options import base


class Limits(base.Options):
    """How long and how often to try."""

    group: ClassVar[str] = "limits"

    max_loading_time_s: Annotated[base.Seconds, base.Flag("--max-loading-time")] = 300.0
    """Seconds from the start of the server until the model must be AVAILABLE; the embedded server's own start does not
    count."""
    num_tries: Annotated[base.Count, base.Flag("--num-tries")] = 5
    """Maximum number of boots; a definite refusal is not retried."""
    request_timeout_s: Annotated[base.Seconds, base.Flag("--request-timeout")] = 60.0
    """Seconds that one request may take."""
    concurrency: Annotated[base.Count, base.Flag("--concurrency")] = 4
    """Requests to send at the same time."""
    response_memory_bytes: Annotated[
        base.Count, base.Flag("--response-memory", metavar="BYTES", default="256m", parse=base.read_bytes)
    ] = 256 << 20
    """Memory of this process that may hold answers for the gates, such as 1g on the command line; if they are more, a
    random part is kept. Answers are never written anywhere."""
