"""Gate: the server loads the model."""

from __future__ import annotations

from infraval import evidence, verdict


class Load:
    """Passes a model that became AVAILABLE, with its warmup file or, if the server refuses that, without it."""

    name = "load"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The load time in seconds, or why the model was not loaded."""
        booted = shown.without_warmup or shown.boot
        if booted.failure is None:
            return verdict.Finding(self.name, verdict.Status.PASSED, figure=booted.load_time_s, unit="s")
        bar = booted.failure.limit_s if isinstance(booted.failure, evidence.Late) else None
        reason = _reason(booted.failure, shown.tries)
        return verdict.Finding(self.name, verdict.Status.FAILED, (reason,), bar=bar, unit="s")


def _reason(failure: evidence.Refused | evidence.Crashed | evidence.Late, tries: int) -> str:
    if isinstance(failure, evidence.Refused):
        return f"The server refused to load the model: {failure.code}: {failure.message}"
    each = "" if tries == 1 else f", the last of {tries} tries"
    if isinstance(failure, evidence.Crashed):
        return f"The server died of {failure.cause} while it loaded the model{each}."
    return (
        f"The model was not AVAILABLE within {failure.limit_s:g} s{each}. If it only loads slowly, raise "
        "--max-loading-time (limits.max_loading_time_s, or max_loading_time_seconds in a ValidationSpec)."
    )
