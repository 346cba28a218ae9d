"""Gate: every request is answered."""

from __future__ import annotations

from collections import Counter

from infraval import evidence, verdict
from infraval.gates.reasons import capped


class Responses:
    """Passes a model that answers every request, whatever the answer."""

    name = "responses"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """How many requests were answered; equal failures are one reason, the most frequent first."""
        booted = shown.without_warmup or shown.boot
        if booted.failure is not None:
            return verdict.Finding(self.name, verdict.Status.SKIPPED, ("The model was not loaded.",))
        if not shown.requests:
            return verdict.Finding(self.name, verdict.Status.SKIPPED, ("There were no requests to send.",))
        answered = sum(outcome.ok for outcome in booted.outcomes)
        reasons = _reasons(booted, answered, shown.requests)
        status = verdict.Status.FAILED if reasons else verdict.Status.PASSED
        return verdict.Finding(self.name, status, reasons, answered, shown.requests, "requests")


def _reasons(booted: evidence.Boot, answered: int, requests: int) -> tuple[str, ...]:
    if booted.death is not None:
        return (f"The server died of {booted.death} with {answered} of {requests} requests answered.",)
    failures = Counter(
        (outcome.cell.signature, outcome.cell.method.value, outcome.code, outcome.message)
        for outcome in booted.outcomes
        if not outcome.ok
    )
    reasons = (
        f"{count} of {requests} requests failed ({method} of signature {signature}): {code}: {message}"
        for (signature, method, code, message), count in failures.most_common()
    )
    return capped(reasons, "{} more kinds of failure are in the report.")
