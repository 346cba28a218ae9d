"""Gate: the same request gets the same answer, alone and at the same time as others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from infraval import evidence, verdict
from infraval.gates import differences


class Determinism:
    """Passes a model whose answers depend on nothing but the request."""

    name: ClassVar[str] = "determinism"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """How many of the answers were the same as the first one; the least over the outputs."""
        found = shown.determinism
        if found is None or not (found.requests or found.unanswered):
            reason = "There were no requests to send again." if shown.boot.answered_all else "Not all was answered."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        compared = (*found.alone, *found.together)
        if not compared:
            reasons = ("No request was answered again.", *map(differences.unanswered, found.unanswered))
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, differences.capped(list(reasons)))
        worst = max(compared, key=lambda each: each.responses_differing / each.responses)
        same = worst.responses - worst.responses_differing
        told = differences.capped(list(_reasons(found)))
        status = verdict.Status.FAILED if told else verdict.Status.PASSED
        return verdict.Finding(self.name, status, told, same, worst.responses, "responses")


def _reasons(found: evidence.Determinism) -> Iterator[str]:
    for each in found.alone:
        if each.responses_differing:
            yield (
                f"{each.responses_differing} of {each.responses} requests ({differences.call(each)}), sent alone "
                f"twice, got two answers: {differences.details(each)} Is there dropout or other randomness left on?"
            )
    at_once = f"sent with others ({found.at_once} at the same time)"
    cause = ""
    if found.batched and not any(each.responses_differing for each in found.alone):
        cause = " In a batch, the answer depends on the other examples or on padding to an allowed size."
    for each in found.together:
        if each.responses_differing:
            yield (
                f"{each.responses_differing} of {each.responses} requests ({differences.call(each)}), {at_once}, got "
                f"another answer than alone: {differences.details(each)}{cause}"
            )
    for unanswered in found.unanswered:
        yield f"Sent again or {at_once}, {differences.unanswered(unanswered)}"
