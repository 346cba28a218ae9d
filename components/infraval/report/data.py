"""A verdict as plain data: `report.json`, and what every other format shows.

Keys are added, never changed or removed, and `schema_version` grows with them. `infraval report --schema` prints the
JSON Schema.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
from typing import Any, Literal

import pydantic

from infraval import errors, evidence, options
from infraval.verdict import Finding, Hint, ServerVerdict, Verdict

REPORT = "report.json"

SCHEMA_VERSION = 1

Shown = Literal["BLESSED", "NOT_BLESSED"]


class CellSummary(pydantic.BaseModel):
    """How a cell did; latencies in seconds, null if not measured."""

    cell: options.Cell
    requests: int
    answered: int
    first_s: float = pydantic.Field(description="Of the first request in the replay.")
    median_s: float = pydantic.Field(description="Over the requests of the replay.")
    cold_first_s: float | None = pydantic.Field(description="First request of a boot without the warmup file.")
    warm_first_s: float | None = pydantic.Field(
        description="First request of the boot that is judged, before anything else was sent."
    )
    steady_s: float | None = pydantic.Field(description="Median of the same request repeated, with the warmup file.")
    is_steady: bool | None = pydantic.Field(None, description="Whether the repeats took about as long as each other.")
    graph_builds: int | None = pydantic.Field(
        None, description="By how much the first request moved the server's counter of them; null if unknown."
    )
    xla_compilations: int | None = pydantic.Field(None, description="The same.")
    warm_first_sent_s: float | None = pydantic.Field(
        None, description="When that first request was sent, in seconds since the boot began."
    )

    @property
    def warm_ratio(self) -> float | None:
        """The first request of the boot that is judged as a multiple of a steady one; None if not measured."""
        return self.warm_first_s / self.steady_s if self.warm_first_s is not None and self.steady_s else None


@dataclasses.dataclass(frozen=True)
class Failures:
    """Requests of one cell that failed in one way, and how many they are."""

    cell: options.Cell
    code: str
    message: str
    requests: int


class Sizes(pydantic.BaseModel):
    """How large the model and its messages are, in bytes."""

    model: int = pydantic.Field(description="The staged model's files, with its warmup file.")
    largest_request: int = pydantic.Field(description="Of the requests that were answered; 0 without any.")
    largest_response: int


class ServerReport(pydantic.BaseModel):
    """What one server did and what each gate found in that."""

    verdict: Shown
    server: evidence.Server
    findings: list[Finding]
    tries: int = pydantic.Field(description="Boots of the model as it was staged.")
    load_time_s: float | None = pydantic.Field(
        description="From the server's start until AVAILABLE; its own load for the embedded server."
    )
    cold_load_time_s: float | None = pydantic.Field(description="The same without the warmup file.")
    records_replayed: int | None = pydantic.Field(description="Warmup records that the server says it replayed.")
    server_log: str = pydantic.Field(description="Its last lines, redacted, if it crashed or was late.")
    cells: list[CellSummary]
    requests: list[evidence.Outcome]
    determinism: evidence.Determinism | None = pydantic.Field(
        None, description="The same requests again; null unless the gate judges."
    )
    expected: evidence.Expected | None = pydantic.Field(
        None, description="Answers beside recorded responses; null unless the gate judges."
    )
    baseline: evidence.Baseline | None = pydantic.Field(
        None, description="The model beside the baseline; null unless the gate judges."
    )
    load: evidence.Load | None = pydantic.Field(None, description="Under load, if the gate latency was on.")
    sizes: Sizes | None = None
    memory_after_load: evidence.Memory | None = pydantic.Field(None, description="Null if it is not known.")
    memory: evidence.MemoryUse | None = pydantic.Field(None, description="Null unless the gate judges.")
    robustness: evidence.Robustness | None = pydantic.Field(
        None, description="How malformed requests were taken, if any were sent."
    )
    swap: evidence.Swap | None = pydantic.Field(None, description="The swap, if the gate swap was on.")
    timeline: evidence.Timeline | None = pydantic.Field(
        None, description="When the boot that is judged did what, and the memory that its server took meanwhile."
    )

    @property
    def median_steady_s(self) -> float | None:
        """Of the steady latencies of all cells, in seconds; None if there are none."""
        steady = [cell.steady_s for cell in self.cells if cell.steady_s is not None]
        return statistics.median(steady) if steady else None

    @property
    def failures(self) -> list[Failures]:
        """Which requests failed, the most frequent ways first."""
        ways = collections.Counter((each.cell, each.code, each.message) for each in self.requests if not each.ok)
        return [Failures(*way, requests) for way, requests in ways.most_common()]


class Report(pydantic.BaseModel):
    """The verdict of a validation."""

    schema_version: int
    verdict: Shown
    model_digest: str = pydantic.Field(description="sha256:HEX of the staged model directory.")
    warmup: evidence.Warmup
    examples: evidence.Examples | None
    servers: list[ServerReport]
    warnings: list[str] = pydantic.Field(default_factory=list, description="What to know about the model besides.")
    hints: list[Hint] = pydantic.Field(default_factory=list, description="What to do next, by symptom.")
    run: evidence.Run | None = pydantic.Field(None, description="When and where it ran, and what asked for it.")


def report(judged: Verdict) -> Report:
    """The verdict as plain data."""
    return Report(
        schema_version=SCHEMA_VERSION,
        verdict=_shown(judged),
        model_digest=f"sha256:{judged.model_digest}",
        warmup=judged.warmup,
        examples=judged.examples,
        servers=[_server_report(server) for server in judged.servers],
        warnings=list(judged.warnings),
        hints=list(judged.hints),
        run=judged.run,
    )


def check_version(read: Report) -> None:
    """Checks that a report is in a format that this version knows: a newer one may hold what it would not show.

    Raises:
      InputError: it is not.
    """
    if not 1 <= read.schema_version <= SCHEMA_VERSION:
        raise errors.InputError(
            f"The report has schema version {read.schema_version}, and this infraval knows versions 1 to "
            f"{SCHEMA_VERSION}. Use the infraval that wrote it, or a newer one.",
            code="report/unknown-version",
        )


def schema() -> dict[str, Any]:
    """The JSON Schema of `report.json`."""
    return Report.model_json_schema(mode="serialization")


def reasons(judged: Verdict) -> list[str]:
    """Why the model is not blessed, a line each, with the image in front if there are several servers."""
    return [
        f"{server.evidence.server.image}: {reason}" if len(judged.servers) > 1 else reason
        for server in judged.servers
        for finding in server.failures
        for reason in finding.reasons
    ]


def as_json(made: Report) -> str:
    """The content of `report.json`."""
    return made.model_dump_json(indent=2) + "\n"


def _shown(judged: Verdict | ServerVerdict) -> Shown:
    return "BLESSED" if judged.blessed else "NOT_BLESSED"


def _server_report(judged: ServerVerdict) -> ServerReport:
    shown = judged.evidence
    booted = shown.decisive
    return ServerReport(
        verdict=_shown(judged),
        server=shown.server,
        findings=list(judged.findings),
        tries=shown.tries,
        load_time_s=booted.load_time_s,
        cold_load_time_s=None if shown.cold is None else shown.cold.load_time_s,
        records_replayed=shown.boot.records_replayed,
        server_log=booted.server_log,
        cells=_cells(shown),
        requests=list(booted.outcomes),
        determinism=shown.determinism,
        expected=shown.expected,
        baseline=shown.baseline,
        load=shown.load,
        sizes=Sizes(
            model=shown.model_bytes,
            largest_request=booted.responses.largest_request_bytes,
            largest_response=booted.responses.largest_bytes,
        ),
        memory_after_load=booted.memory,
        memory=shown.memory,
        robustness=shown.robustness,
        swap=shown.swap,
        timeline=booted.timeline,
    )


def _cells(shown: evidence.Evidence) -> list[CellSummary]:
    """A summary for each cell, in the order of the requests."""
    by_cell: dict[options.Cell, list[evidence.Outcome]] = {}
    for outcome in shown.decisive.outcomes:
        by_cell.setdefault(outcome.cell, []).append(outcome)
    cold = {latency.cell: latency for latency in (shown.cold.latencies if shown.cold else ())}
    warm = {latency.cell: latency for latency in shown.boot.latencies}
    return [
        CellSummary(
            cell=cell,
            requests=len(outcomes),
            answered=sum(outcome.ok for outcome in outcomes),
            first_s=outcomes[0].latency_s,
            median_s=statistics.median(outcome.latency_s for outcome in outcomes),
            cold_first_s=cold[cell].first_s if cell in cold else None,
            warm_first_s=warm[cell].first_s if cell in warm else None,
            steady_s=warm[cell].steady_s if cell in warm else None,
            is_steady=warm[cell].is_steady if cell in warm else None,
            graph_builds=warm[cell].graph_builds if cell in warm else None,
            xla_compilations=warm[cell].xla_compilations if cell in warm else None,
            warm_first_sent_s=warm[cell].first_sent_s if cell in warm else None,
        )
        for cell, outcomes in by_cell.items()
    ]
