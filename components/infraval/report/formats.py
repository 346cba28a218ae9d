"""Figures as people read them, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from infraval import escape, options, verdict

MISSING = "—"

SYMBOLS = {
    verdict.Status.PASSED: "✓",
    verdict.Status.FAILED: "✗",
    verdict.Status.UNDECIDED: "?",
    verdict.Status.SKIPPED: "—",
}
"""So that a status is not told by its color alone."""

_HUGE = 1e6
_KIBI = 1024


def verdict_words(shown: Literal["BLESSED", "NOT_BLESSED"]) -> str:
    """The verdict with its symbol."""
    return "✓ Blessed" if shown == "BLESSED" else "✗ Not blessed"


def number(value: float | None) -> str:
    """A count or a plain figure, with four significant digits unless it is whole."""
    if value is None:
        return MISSING
    if abs(value) < _HUGE and value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


def seconds(value: float | None) -> str:
    """Seconds, as milliseconds below one second; three significant digits or a tenth of the unit."""
    if value is None:
        return MISSING
    amount, unit = (value, "s") if abs(value) >= 1 else (value * 1000, "ms")
    if abs(amount) >= _HUGE:
        return f"{amount:.3g} {unit}"
    digits = next((digits for limit, digits in ((10, 2), (100, 1)) if abs(amount) < limit), 0)
    return f"{amount:.{digits}f} {unit}"


def size(value: float | None) -> str:
    """Bytes, in the largest unit of which there is one."""
    if value is None:
        return MISSING
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(value) < _KIBI:
            return f"{number(value) if unit == 'bytes' else f'{value:.4g}'} {unit}"
        value /= _KIBI
    return f"{value:.4g} TiB"


def ratio(value: float | None) -> str:
    """How many times as much."""
    return MISSING if value is None else f"{value:.3g}×"  # noqa: RUF001 - the multiplication sign is meant


def share(value: float | None) -> str:
    """A part of a whole, as a percentage."""
    return MISSING if value is None else f"{value * 100:.3g} %"


def measure(value: float | None, unit: str) -> str:
    """A figure or bar of a finding in its unit."""
    known = {"s": seconds, "bytes": size, "x": ratio, "share": share}
    if unit in known:
        return known[unit](value)
    if value is None:
        return MISSING
    return seconds(value / 1000) if unit == "ms" else f"{number(value)} {escape.name(unit)}".rstrip()


def call(cell: options.Cell) -> str:
    """A signature and its method as the command line spells them."""
    return f"{escape.name(cell.signature)}:{cell.method.value}"


def summary(findings: Iterable[verdict.Finding]) -> str:
    """One sentence that says which gates failed or are undecided."""
    by_status: dict[verdict.Status, list[str]] = {status: [] for status in verdict.Status}
    for finding in findings:
        gates = by_status[finding.status]
        gates += [] if finding.gate in gates else [finding.gate]
    said = [
        f"{words}: {escape.names(by_status[status])}."
        for status, words in ((verdict.Status.FAILED, "Failed"), (verdict.Status.UNDECIDED, "Undecided"))
        if by_status[status]
    ]
    return " ".join(said) or f"Passed: {escape.names(by_status[verdict.Status.PASSED])}."
