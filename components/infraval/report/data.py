"""A verdict as plain data: `report.json`, and what every other format shows.

Keys are added, never changed or removed; `schema_version` grows with what is added. `infraval report --schema` prints
the JSON Schema of it.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from infraval import evidence, options, verdict

REPORT = "report.json"

SCHEMA_VERSION = 1


def _encodable(text: Any) -> Any:
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


Text = Annotated[str, pydantic.BeforeValidator(_encodable)]
"""A string of a model, server or file: what is not Unicode, as in names of files, is escaped."""


class Finding(pydantic.BaseModel):
    """One gate's answer."""

    gate: str
    status: Literal["passed", "failed", "undecided", "skipped"]
    reasons: list[Text] = pydantic.Field(description="Why, a sentence or more each; at least one unless it passed.")
    figure: float | None = pydantic.Field(description="What was measured.")
    bar: float | None = pydantic.Field(description="What the figure had to reach or stay below.")
    unit: str = pydantic.Field(description="Of figure and bar.")


class Server(pydantic.BaseModel):
    """Which server it was."""

    name: str
    version: Text
    platform: str
    embedded: bool = pydantic.Field(description="Whether it is infraval's stand-in and not TensorFlow Serving.")
    image: str | None
    image_id: str | None
    image_digest: str | None


class Cell(pydantic.BaseModel):
    """A signature, the RPC that calls it, and a batch size: what is slow the first time."""

    signature: Text
    method: str
    batch_size: int


class CellSummary(Cell):
    """How a cell did. Latencies in milliseconds; null if not measured."""

    requests: int
    answered: int
    first_ms: float = pydantic.Field(description="Of the first request that was sent in the replay.")
    median_ms: float = pydantic.Field(description="Over the requests of the replay.")
    cold_first_ms: float | None = pydantic.Field(description="First request of a boot without the warmup file.")
    warm_first_ms: float | None = pydantic.Field(description="First request of a boot with the warmup file.")
    steady_ms: float | None = pydantic.Field(description="Median of the same request repeated, with the warmup file.")


class Request(Cell):
    """What became of one request."""

    code: str = pydantic.Field(description="Name of the gRPC status code; OK for an answer.")
    message: Text = pydantic.Field(description="The server's error message, redacted.")
    latency_ms: float


class ServerReport(pydantic.BaseModel):
    """What one server did and what each gate found in that."""

    verdict: Literal["BLESSED", "NOT_BLESSED"]
    server: Server
    findings: list[Finding]
    tries: int = pydantic.Field(description="Boots of the model as it was staged.")
    load_time_s: float | None = pydantic.Field(description="From the start of the server until AVAILABLE.")
    cold_load_time_s: float | None = pydantic.Field(description="The same without the warmup file.")
    records_replayed: int | None = pydantic.Field(description="Warmup records that the server says it replayed.")
    server_log: Text = pydantic.Field(description="Its last lines, redacted, if it crashed or was late.")
    cells: list[CellSummary]
    requests: list[Request]


class Warmup(pydantic.BaseModel):
    """The warmup file of the staged model."""

    records: int
    records_from_model: int = pydantic.Field(description="How many of them came with the model.")
    records_dropped: int = pydantic.Field(description="Records that came with the model and are not in the file.")


class Examples(pydantic.BaseModel):
    """Where the requests came from."""

    records_read: int
    dead_letters: dict[Text, int] = pydantic.Field(description="Records that fit no request, by cause.")
    left_out: dict[Text, Text] = pydantic.Field(description="Signatures that `all` left out, and why.")


class Report(pydantic.BaseModel):
    """The verdict of a validation."""

    schema_version: int
    verdict: Literal["BLESSED", "NOT_BLESSED"]
    model_digest: str = pydantic.Field(description="sha256:HEX of the staged model directory.")
    warmup: Warmup
    examples: Examples | None
    servers: list[ServerReport]


def report(judged: verdict.Verdict) -> Report:
    """The verdict as plain data."""
    return Report(
        schema_version=SCHEMA_VERSION,
        verdict=_verdict(blessed=judged.blessed),
        model_digest=f"sha256:{judged.model_digest}",
        warmup=Warmup(
            records=judged.warmup.records,
            records_from_model=judged.warmup.from_model,
            records_dropped=judged.warmup.dropped,
        ),
        examples=None
        if judged.examples is None
        else Examples(
            records_read=judged.examples.records_read,
            dead_letters=judged.examples.dead_letters,
            left_out=judged.examples.left_out,
        ),
        servers=[_server_report(server) for server in judged.servers],
    )


def to_json(judged: verdict.Verdict) -> dict[str, Any]:
    """The verdict as JSON values."""
    return report(judged).model_dump(mode="json")


def schema() -> dict[str, Any]:
    """The JSON Schema of `report.json`."""
    return Report.model_json_schema()


def reasons(judged: verdict.Verdict) -> list[str]:
    """Why the model is not blessed, a line each, with the image in front if there are several servers."""
    return [
        f"{server.evidence.server.image}: {reason}" if len(judged.servers) > 1 else reason
        for server in judged.servers
        for finding in server.failures
        for reason in finding.reasons
    ]


def write(judged: verdict.Verdict, output: Path) -> None:
    """Writes `report.json` whole or not at all."""
    output.mkdir(parents=True, exist_ok=True)
    unfinished = output / f".{REPORT}.unfinished"
    unfinished.write_text(json.dumps(to_json(judged), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(output / REPORT)


def _verdict(*, blessed: bool) -> Literal["BLESSED", "NOT_BLESSED"]:
    return "BLESSED" if blessed else "NOT_BLESSED"


def _server_report(judged: verdict.ServerVerdict) -> ServerReport:
    shown = judged.evidence
    booted, server = shown.decisive, shown.server
    return ServerReport(
        verdict=_verdict(blessed=judged.blessed),
        server=Server(
            name=server.name,
            version=server.version,
            platform=server.platform,
            embedded=server.embedded,
            image=server.image or None,
            image_id=server.image_id or None,
            image_digest=server.image_digest or None,
        ),
        findings=[
            Finding(
                gate=finding.gate,
                status=finding.status.value,
                reasons=list(finding.reasons),
                figure=finding.figure,
                bar=finding.bar,
                unit=finding.unit,
            )
            for finding in judged.findings
        ],
        tries=shown.tries,
        load_time_s=booted.load_time_s,
        cold_load_time_s=None if shown.cold is None else shown.cold.load_time_s,
        records_replayed=shown.boot.records_replayed,
        server_log=booted.server_log,
        cells=_cells(shown),
        requests=[
            Request(
                **_cell(outcome.cell),
                code=outcome.code,
                message=outcome.message,
                latency_ms=_ms(outcome.latency_s),
            )
            for outcome in booted.outcomes
        ],
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
            **_cell(cell),
            requests=len(outcomes),
            answered=sum(outcome.ok for outcome in outcomes),
            first_ms=_ms(outcomes[0].latency_s),
            median_ms=_ms(statistics.median(outcome.latency_s for outcome in outcomes)),
            cold_first_ms=_ms(cold[cell].first_s) if cell in cold else None,
            warm_first_ms=_ms(warm[cell].first_s) if cell in warm else None,
            steady_ms=_ms(warm[cell].steady_s) if cell in warm else None,
        )
        for cell, outcomes in by_cell.items()
    ]


def _cell(cell: options.Cell) -> dict[str, Any]:
    return {"signature": cell.signature, "method": cell.method.value, "batch_size": cell.batch_size}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
