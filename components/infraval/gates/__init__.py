"""Stage 4: one server's evidence in, each gate's finding out.

A new gate is a file in this folder, its options in `options.gates` if it has any, and a line in `choose`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from infraval import errors, evidence, options, verdict
from infraval.gates import outputs
from infraval.gates.baseline import Baseline
from infraval.gates.determinism import Determinism
from infraval.gates.expected import Expected
from infraval.gates.latency import Latency
from infraval.gates.load import Load
from infraval.gates.load_time import LoadTime
from infraval.gates.memory import Memory
from infraval.gates.outputs import Outputs
from infraval.gates.responses import Responses
from infraval.gates.robust import Robust
from infraval.gates.size import Size
from infraval.gates.swap import Swap
from infraval.gates.unchanged import Unchanged
from infraval.gates.warm import Warm
from infraval.gates.warmup import Warmup
from infraval.requests import signatures, targets

__all__ = ["GATES", "Gate", "check", "check_decided", "choose", "judge"]


class Gate(Protocol):
    """A test that a model must pass; the gate's options are its attributes."""

    @property
    def name(self) -> str:
        """The name that the report shows."""

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """What the evidence says; a pure function that never raises."""


def choose(
    asked: options.GateOptions,
    available: Mapping[str, signatures.Signature] = MappingProxyType({}),
    on: Callable[[str], bool] | None = None,
) -> tuple[Gate, ...]:
    """The gates that judge, in the order of the report: each looks at what those before it made possible.

    `available` are the model's signatures. `on` says which gates with options judge; by default their options do.
    """
    always: tuple[Gate, ...] = (Load(), Responses(), Warmup(), Unchanged())
    optional: tuple[Gate, ...] = (
        Outputs(asked.outputs, available),
        Warm(asked.warm),
        Determinism(),
        Expected(),
        Baseline(asked.baseline),
        Latency(asked.latency),
        LoadTime(asked.load_time),
        Memory(asked.memory),
        Robust(asked.robust),
        Size(asked.size),
        Swap(asked.swap),
    )
    return (*always, *(gate for gate in optional if (on or asked.on)(gate.name)))


def check(
    asked: options.GateOptions, available: Mapping[str, signatures.Signature], called: Sequence[targets.Target]
) -> None:
    """Checks the gates' options against the model's signatures and those that are called, before a server boots.

    Raises:
      OptionError: they do not fit.
    """
    if asked.on("outputs"):
        outputs.check(asked.outputs, available, called)


_DEFAULTS = options.GateOptions()

GATES = choose(_DEFAULTS)
"""The gates that judge by default."""


def judge(
    shown: evidence.Evidence, gates: Sequence[Gate] = GATES, asked: options.GateOptions = _DEFAULTS
) -> verdict.ServerVerdict:
    """What each gate finds in one server's evidence, in order."""
    return verdict.ServerVerdict(shown, tuple(_counted(gate.judge(shown), asked) for gate in gates))


def _counted(finding: verdict.Finding, asked: options.GateOptions) -> verdict.Finding:
    """The finding; failed instead of undecided if the options say so."""
    if finding.status is not verdict.Status.UNDECIDED or asked.undecided(finding.gate) != "fail":
        return finding
    reason = f"Undecided counts as failed (gates.{finding.gate}.undecided)."
    return dataclasses.replace(finding, status=verdict.Status.FAILED, reasons=(*finding.reasons, reason))


def check_decided(judged: Sequence[verdict.ServerVerdict], asked: options.GateOptions) -> None:
    """Checks that there is a verdict: a gate failed the model, or none that must decide is undecided.

    Raises:
      UndecidedError: otherwise.
    """
    if not all(server.blessed for server in judged):
        return
    for server in judged:
        for finding in server.findings:
            if finding.status is verdict.Status.UNDECIDED and asked.undecided(finding.gate) == "error":
                name = f"gates.{finding.gate}.undecided"
                raise errors.UndecidedError(
                    f"The gate {finding.gate} is undecided, and was asked for. To go on without it, set --gate "
                    f"{finding.gate}.undecided={{pass or fail}} ({name}).",
                    *finding.reasons,
                )
