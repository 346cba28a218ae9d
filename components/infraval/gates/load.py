"""Gate: the server loads the model."""

from __future__ import annotations

import dataclasses

from infraval import verdict


@dataclasses.dataclass(frozen=True)
class Refused:
    """The server said that it will not load the model.

    Attributes:
      code: gRPC status code of the refusal.
      message: its text, redacted.
    """

    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Crashed:
    """The server died of a signal while it loaded the model.

    Attributes:
      signal: its name.
      tries: boots that ended so.
    """

    signal: str
    tries: int


@dataclasses.dataclass(frozen=True)
class Late:
    """The model was not AVAILABLE in time.

    Attributes:
      limit_s: seconds it was given.
      tries: boots that ended so.
    """

    limit_s: float
    tries: int


def judge(failure: Refused | Crashed | Late) -> tuple[verdict.Reason, ...]:
    """The reason that a failed load gives."""
    if isinstance(failure, Refused):
        message = f"The server refused to load the model: {failure.code}: {failure.message}"
    elif isinstance(failure, Crashed):
        message = f"The server died of {failure.signal} while loading the model, on each of {failure.tries} tries."
    else:
        message = (
            f"The model was not AVAILABLE within {failure.limit_s:g} s, on each of {failure.tries} tries. If it is "
            "only slow, raise max_loading_time_seconds (--max-loading-time)."
        )
    return (verdict.Reason(verdict.Gate.LOAD, message),)
