"""What every gate is."""

from __future__ import annotations

from typing import Protocol

from infraval import evidence, verdict


class Gate(Protocol):
    """A bar that a model must clear; its options are its attributes."""

    @property
    def name(self) -> str:
        """The name that the report shows."""

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """What the evidence says; a pure function, which raises nothing."""
