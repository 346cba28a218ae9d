"""Gate: what was judged is what ships."""

from __future__ import annotations

from infraval import verdict


def judge(before: str, after: str) -> tuple[verdict.Reason, ...]:
    """The reason that a model directory changed under the server gives.

    Args:
      before: digest of the staged model before the server saw it.
      after: digest once the server is gone.
    """
    if before == after:
        return ()
    message = "The model directory was changed while it was served; a model must not write to its own files."
    return (verdict.Reason(verdict.Gate.UNCHANGED, message),)
