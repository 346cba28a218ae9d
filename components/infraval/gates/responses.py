"""Gate: every request is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from infraval import verdict

_MOST_REASONS = 5


def judge(outcomes: Sequence[verdict.Outcome], requests: int, death: str | None) -> tuple[verdict.Reason, ...]:
    """The reasons that failed requests give, those alike as one, the most frequent first.

    Args:
      outcomes: of the requests that were sent.
      requests: how many there were to send.
      death: how the server ended while it answered; None if it did not.
    """
    if death is not None:
        answered = sum(outcome.ok for outcome in outcomes)
        return (_reason(f"The server died of {death} with {answered} of {requests} requests answered."),)
    failures = Counter(
        (outcome.cell.signature, outcome.cell.method.value, outcome.code, outcome.message)
        for outcome in outcomes
        if not outcome.ok
    )
    reasons = [
        _reason(f"{count} of {requests} requests failed ({method} of signature {signature}): {code}: {message}")
        for (signature, method, code, message), count in failures.most_common(_MOST_REASONS)
    ]
    if len(failures) > _MOST_REASONS:
        reasons.append(_reason(f"{len(failures) - _MOST_REASONS} more kinds of failure are in the report."))
    return tuple(reasons)


def _reason(message: str) -> verdict.Reason:
    return verdict.Reason(verdict.Gate.RESPONSES, message)
