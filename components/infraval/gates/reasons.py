"""How many reasons a gate gives."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 5


def capped(reasons: Iterable[str], rest: str = "There are {} more.") -> tuple[str, ...]:
    """The first reasons, and a sentence about the rest, with their number in it, if there are more."""
    told = tuple(reasons)
    more = len(told) - _MOST
    return (*told[:_MOST], rest.format(more)) if more > 0 else told
