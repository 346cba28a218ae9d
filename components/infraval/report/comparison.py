"""Two reports side by side: which gates regressed, and how latencies changed."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from infraval import escape, options, verdict
from infraval.report import data


class Change(str, enum.Enum):
    """What became of a gate."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    NOT_JUDGED = "not judged"
    """It is skipped or missing in the later report."""


_Key = TypeVar("_Key", bound=Hashable)

_BADNESS = {verdict.Status.UNDECIDED: 1, verdict.Status.FAILED: 2}
"""Of a status; any other, and a gate that did not judge, has 0."""


@dataclasses.dataclass(frozen=True)
class GateChange:
    """A gate in both reports; None where it did not judge at all."""

    gate: str
    before: verdict.Finding | None
    after: verdict.Finding | None

    @property
    def change(self) -> Change:
        """Regressed if its status is worse than before; a figure that is worse and within its bar is no regression."""
        before, after = (0 if each is None else _BADNESS.get(each.status, 0) for each in (self.before, self.after))
        if after > before:
            return Change.REGRESSED
        if self.after is None or self.after.status is verdict.Status.SKIPPED:
            return Change.NOT_JUDGED
        return Change.IMPROVED if after < before else Change.UNCHANGED


@dataclasses.dataclass(frozen=True)
class CellChange:
    """A cell in both reports; None where it was not sent."""

    cell: options.Cell
    before: data.CellSummary | None
    after: data.CellSummary | None

    @property
    def steady_ratio(self) -> float | None:
        """The later steady latency as a multiple of the earlier one."""
        before, after = (each.steady_s if each else None for each in (self.before, self.after))
        return after / before if before and after is not None else None


@dataclasses.dataclass(frozen=True)
class ServerChange:
    """A server in both reports; None where there are fewer of them."""

    before: data.ServerReport | None
    after: data.ServerReport | None
    gates: tuple[GateChange, ...]
    cells: tuple[CellChange, ...]

    @property
    def name(self) -> str:
        """Of the later server, or else of the earlier one."""
        server = next(each.server for each in (self.after, self.before) if each is not None)
        return escape.name(server.image or server.name)


def compare(before: data.Report, after: data.Report) -> tuple[ServerChange, ...]:
    """What changed between two reports, whose servers are paired in their order."""
    return tuple(_server(one, other) for one, other in itertools.zip_longest(before.servers, after.servers))


def gates(changes: Iterable[ServerChange]) -> list[str]:
    """The gates of either report."""
    return [*dict.fromkeys(gate.gate for server in changes for gate in server.gates)]


def regressed(changes: Iterable[ServerChange], counting: Collection[str] = ()) -> list[str]:
    """The gates that regressed on any server, of those that count or, if none are named, of all."""
    found = (gate for server in changes for gate in server.gates if gate.change is Change.REGRESSED)
    return [*dict.fromkeys(gate.gate for gate in found if not counting or gate.gate in counting)]


def _server(before: data.ServerReport | None, after: data.ServerReport | None) -> ServerChange:
    judged = [{each.gate: each for each in server.findings} if server else {} for server in (before, after)]
    sent = [{each.cell: each for each in server.cells} if server else {} for server in (before, after)]
    return ServerChange(
        before,
        after,
        tuple(GateChange(gate, *(each.get(gate) for each in judged)) for gate in _keys(judged)),
        tuple(CellChange(cell, *(each.get(cell) for each in sent)) for cell in _keys(sent)),
    )


def _keys(maps: Sequence[Mapping[_Key, object]]) -> list[_Key]:
    """The keys of the later map in their order, then those that only the earlier one has."""
    earlier, later = maps
    return [*dict.fromkeys((*later, *earlier))]
