"""The result of a validation: what each gate found on each server. Data, never an exception."""

from __future__ import annotations

import dataclasses
import enum

from infraval import evidence


class Status(str, enum.Enum):
    """What a gate says about a model."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """The evidence is not enough to say."""
    SKIPPED = "skipped"
    """There was nothing to judge, or the model failed before what this gate looks at."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One gate's answer.

    Attributes:
      gate: name of the gate.
      status: what it says.
      reasons: why, one or more sentences each, without request data; at least one unless the model passed.
      figure: what was measured, if it is a number.
      bar: what the figure must reach or stay below.
      unit: of figure and bar, such as `s` or `requests`.
    """

    gate: str
    status: Status
    reasons: tuple[str, ...] = ()
    figure: float | None = None
    bar: float | None = None
    unit: str = ""

    @property
    def failed(self) -> bool:
        """Whether the model did not pass the gate."""
        return self.status is Status.FAILED


@dataclasses.dataclass(frozen=True)
class ServerVerdict:
    """The verdict of one server.

    Attributes:
      evidence: what the server did.
      findings: what each gate found in the evidence, in the order of the gates.
    """

    evidence: evidence.Evidence
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings of the gates that the model did not pass."""
        return tuple(finding for finding in self.findings if finding.failed)

    @property
    def blessed(self) -> bool:
        """Whether the model passed every gate on this server."""
        return not self.failures


@dataclasses.dataclass(frozen=True)
class Hint:
    """What to do next.

    Attributes:
      code: stable name of the symptom.
      text: one or more sentences, without anything that a model, a server or a file says.
    """

    code: str
    text: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of all servers on one model.

    Attributes:
      servers: one entry for each server, in the job's order; at least one.
      model_digest: SHA-256 of the staged model directory, as hex.
      warmup: its warmup file.
      examples: where the requests came from; None if no examples were given.
      warnings: what to know about the model besides.
      hints: what to do next.
      run: when and where it was reached, and what asked for it; None if that is not known.
    """

    servers: tuple[ServerVerdict, ...]
    model_digest: str
    warmup: evidence.Warmup
    examples: evidence.Examples | None = None
    warnings: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    run: evidence.Run | None = None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings of the gates that the model did not pass, on any server."""
        return tuple(finding for server in self.servers for finding in server.failures)

    @property
    def blessed(self) -> bool:
        """Whether the model passed every gate on every server."""
        return not self.failures

    def _repr_html_(self) -> str:
        """What a notebook shows: the page."""
        from infraval.report import data, page  # noqa: PLC0415 - what shows a verdict knows it, not the other way round

        return page.frame(page.render(data.report(self)))
