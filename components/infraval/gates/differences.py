"""How the gates put differences between responses into words; none holds a value of a response."""

from __future__ import annotations

from infraval import escape, evidence

MOST_REASONS = 5

_KINDS = {
    "shape": "have another shape",
    "dtype": "have another dtype",
    "missing": "are there on one side only",
    "unreadable": "cannot be read",
}


def call(found: evidence.Compared | evidence.Unanswered) -> str:
    """What was called."""
    return f"{found.method.value} of signature {escape.name(found.signature)}"


def details(found: evidence.Compared) -> str:
    """In which output, how many values and by how much."""
    parts = [text for kind, text in _KINDS.items() if kind in found.kinds]
    where = f"of the output '{escape.name(found.output)}', " if found.output else ""
    what = [f"some {' and '.join(parts)}"] if parts else []
    if found.values_differing:
        largest = ""
        if found.largest is not None:
            share = "" if found.largest_relative is None else f" ({found.largest_relative:.2g} of the larger one)"
            largest = f", by at most {found.largest:.3g}{share}"
        what.append(f"{found.values_differing} of {found.values} values differ{largest}")
    return f"{where}{', and '.join(what)}."


def unanswered(found: evidence.Unanswered) -> str:
    """How many requests got which error."""
    message = f": {found.message}" if found.message else ""
    return f"{found.requests} requests ({call(found)}) got the error {found.code}{message}"


def capped(reasons: list[str]) -> tuple[str, ...]:
    """The first reasons, and how many more there are."""
    more = len(reasons) - MOST_REASONS
    return (*reasons[:MOST_REASONS], f"There are {more} more; the report lists them.") if more > 0 else tuple(reasons)
