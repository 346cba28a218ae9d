"""Stage 4: one server's evidence in, each gate's finding out.

A new gate is a file in this folder, with its options as attributes, and an entry in `GATES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from infraval import evidence, verdict
from infraval.gates.load import Load
from infraval.gates.responses import Responses
from infraval.gates.unchanged import Unchanged
from infraval.gates.warmup import Warmup

__all__ = ["GATES", "Gate", "judge"]


class Gate(Protocol):
    """A test that a model must pass; the gate's options are its attributes."""

    @property
    def name(self) -> str:
        """The name that the report shows."""

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """What the evidence says; a pure function that never raises."""


GATES: tuple[Gate, ...] = (Load(), Responses(), Warmup(), Unchanged())
"""In the order of the report: each looks at what the gates before it made possible."""


def judge(shown: evidence.Evidence, gates: Sequence[Gate] = GATES) -> verdict.ServerVerdict:
    """What each gate finds in one server's evidence, in order."""
    return verdict.ServerVerdict(shown, tuple(gate.judge(shown) for gate in gates))
