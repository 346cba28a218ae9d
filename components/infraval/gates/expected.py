"""Gate: the answers are those that were recorded."""

from __future__ import annotations

from typing import ClassVar

from infraval import evidence, verdict
from infraval.gates import differences


class Expected:
    """Passes a model whose answers to recorded requests equal the recorded responses."""

    name: ClassVar[str] = "expected"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """How many answers are as expected; the reasons say in which outputs the others differ."""
        found = shown.expected
        if found is None:
            reason = "There are no expected responses." if shown.boot.answered_all else "Not all was answered."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        reasons = [
            f"{each.responses_differing} of {each.responses} responses ({differences.call(each)}) are not as expected: "
            f"{differences.details(each)}"
            for each in sorted(found.compared, key=lambda each: -each.responses_differing)
            if each.responses_differing
        ]
        reasons += map(differences.unanswered, found.unanswered)
        missing = found.records - sum(each.requests for each in found.unanswered) - found.answered
        if missing > 0:
            reasons.append(f"{missing} of {found.records} requests were not answered, because the server ended.")
        status = verdict.Status.FAILED if reasons else verdict.Status.PASSED
        told = differences.capped(reasons)
        return verdict.Finding(self.name, status, told, found.equal, found.records, "responses")
