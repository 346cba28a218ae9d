"""Gate: the server survives malformed and boundary requests."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from infraval import escape, evidence, options, verdict
from infraval.gates.reasons import capped


@dataclasses.dataclass(frozen=True)
class Robust:
    """Passes a model whose server answers every malformed request, with an error or not, and lives.

    Attributes:
      options: how hard the server is tried.
    """

    options: options.RobustGate
    name: ClassVar[str] = "robust"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The number of killers, each of which is a reason."""
        found = shown.robustness
        if found is None:
            reason = "Malformed requests are derived from answered ones, and there were none, or not all were answered."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        reasons = [*map(_reason, found.killers), *found.lost]
        if found.left:
            reasons.append(
                f"{found.left} malformed requests were not sent. Raise gates.robust.max_boots or gates.robust.budget_s."
            )
        status = verdict.Status.UNDECIDED if reasons else verdict.Status.PASSED
        if found.killers:
            status = verdict.Status.FAILED
        return verdict.Finding(self.name, status, capped(reasons), len(found.killers), 0, "killers")


def _reason(killer: evidence.Killer) -> str:
    whose = f" of input {escape.name(killer.input)}" if killer.input else ""
    did = f"kills the server ({killer.cause})" if killer.cause else "gets no answer in time"
    said = f" The end of its log: {killer.said}" if killer.said else ""
    return (
        f"{killer.what[0].upper()}{killer.what[1:]}{whose} ({killer.method.value} of signature "
        f"{escape.name(killer.signature)}) {did}: {killer.request}.{said}"
    )
