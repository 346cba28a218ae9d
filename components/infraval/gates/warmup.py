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


def judge_refusal(code: str, message: str, warmup: verdict.Warmup) -> tuple[verdict.Reason, ...]:
    """The reason that a model gives which loads and answers, but not with the records that came with it.

    Args:
      code: gRPC status code of the refusal.
      message: its text, redacted.
      warmup: the file that was refused.
    """
    text = (
        f"The server refuses the model with its warmup file, of which {warmup.from_model} records came with the model: "
        f"{code}: {message} Leave them out with --existing-warmup replace (warmup.existing)."
    )
    return (verdict.Reason(verdict.Gate.WARMUP, text),)
