"""How long and how often to try."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from infraval.options import base


class Limits(base.Options):
    """How long and how often to try."""

    group: ClassVar[str] = "limits"

    max_loading_time_s: Annotated[float, base.Flag("--max-loading-time")] = Field(
        default=300.0, gt=0, description="Seconds from the start of the server until the model must be AVAILABLE."
    )
    num_tries: Annotated[int, base.Flag("--num-tries")] = Field(
        default=5, ge=1, description="Boots to try at most; a definite refusal is not tried again."
    )
    request_timeout_s: Annotated[float, base.Flag("--request-timeout")] = Field(
        default=60.0, gt=0, description="Seconds that one request may take."
    )
    concurrency: Annotated[int, base.Flag("--concurrency")] = Field(
        default=4, ge=1, description="Requests under way at the same time."
    )
