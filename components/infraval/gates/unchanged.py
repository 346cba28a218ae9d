"""Gate: what was judged is what ships."""

from __future__ import annotations

from infraval import evidence, verdict


class Unchanged:
    """Passes a model whose files are the same after it was served."""

    name = "unchanged"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """Whether the digest of the staged directory is still the same."""
        if shown.unchanged:
            return verdict.Finding(self.name, verdict.Status.PASSED)
        reason = "The model's directory changed while it was served. A model must not write to its own files."
        return verdict.Finding(self.name, verdict.Status.FAILED, (reason,))
