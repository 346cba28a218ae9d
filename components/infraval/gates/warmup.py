"""Gate: the server replays the whole warmup file before it serves."""

from __future__ import annotations

from infraval import evidence, options, verdict


class Warmup:
    """Passes a model whose warmup file the server replayed to the last record."""

    name = "warmup"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """How many of the records were replayed."""
        records, replayed = shown.warmup.records, shown.boot.records_replayed
        if shown.without_warmup is not None:
            return self._refused(shown)
        if shown.boot.failure is not None:
            return verdict.Finding(self.name, verdict.Status.SKIPPED, ("The model was not loaded.",))
        counted = shown.boot.counters.warmup_records if shown.boot.counters else None
        if replayed == records and counted is not None and counted < records:
            reason = f"The warmup file has {records} records, but the server's model_warmup_records_read is {counted}."
            return verdict.Finding(self.name, verdict.Status.FAILED, (reason,), counted, records, "records")
        if replayed == records:
            return verdict.Finding(self.name, verdict.Status.PASSED, (), replayed, records, "records")
        said = "did not say how many it replayed" if replayed is None else f"replayed {replayed}"
        reason = f"The warmup file has {records} records, but the server {said}, so the model may start cold."
        return verdict.Finding(self.name, verdict.Status.FAILED, (reason,), replayed, records, "records")

    def _refused(self, shown: evidence.Evidence) -> verdict.Finding:
        """Whether the file is to blame for the server's refusal; the model was booted without it to find out."""
        if shown.without_warmup is not None and not shown.without_warmup.answered_all:
            reason = "The server does not serve the model without its warmup file either."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        failure = shown.boot.failure
        said = f"{failure.code}: {failure.message}" if isinstance(failure, evidence.Refused) else "it crashed."
        reason = (
            f"The server refuses the model because of {options.WARMUP_FILE}: {shown.warmup.from_model} of its "
            f"{shown.warmup.records} records came with the model. {said} If they were made for another model, leave "
            "them out: give --examples (examples) and --existing-warmup replace (warmup.existing)."
        )
        return verdict.Finding(self.name, verdict.Status.FAILED, (reason,), 0, shown.warmup.records, "records")
