"""Gate: the server replayed the whole warmup file before it served."""

from __future__ import annotations

from infraval import verdict


def judge(warmup: verdict.Warmup) -> tuple[verdict.Reason, ...]:
    """The reason that a warmup which was not replayed gives."""
    if warmup.records_replayed == warmup.records:
        return ()
    replayed = "did not say how many" if warmup.records_replayed is None else f"replayed {warmup.records_replayed}"
    message = f"The warmup file holds {warmup.records} records and the server {replayed}: it may start cold."
    return (verdict.Reason(verdict.Gate.WARMUP, message),)
