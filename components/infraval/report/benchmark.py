"""What `infraval bench` found, as rows of tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import pydantic

from infraval import escape, evidence, options
from infraval.trial import bench

_PROTOCOLS = {"grpc": "gRPC", "rest": "REST"}
_MAX_REMARKS, _MAX_REMARK_LENGTH = 20, 400

Table: TypeAlias = tuple[str, tuple[str, ...], str, list[tuple[str, ...]]]
"""What it shows, its head, an `l` or `r` for each column, and its rows: text on one line, no markup."""


def as_json(found: bench.Benchmark) -> str:
    """All that was found, as one JSON object."""
    return pydantic.TypeAdapter(bench.Benchmark).dump_json(found, indent=2).decode() + "\n"


def tables(found: bench.Benchmark) -> Iterator[Table]:
    """The tables that have rows."""
    head = ("cell", "batch", "over", "loop", "p50 ms", "p90 ms", "p99 ms", "per s", "requests")
    rows = [_row(each) for each in found.measured]
    if rows:
        yield "Latency, and in brackets where it is with 95 % confidence:", head, "lrllrrrrr", rows
    cold = {each.cell: each for each in found.cold}
    boots = [_boot(cold.get(each.cell), each) for each in found.warm]
    if boots:
        title = "First request of a fresh server, without (cold) and with (warm) the warmup file, over gRPC:"
        yield title, ("cell", "batch", "cold ms", "warm ms", "steady ms"), "lrrrr", boots


def notes(found: bench.Benchmark) -> Iterator[str]:
    """What the loops were, and what else to know."""
    yield f"closed: {found.concurrency} in flight; the next request is sent when one is answered"
    if found.rate is not None:
        yield f"open: {found.rate:g} requests/s, each timed from when it was due"
    remarks = [remark for remark in map(_remark, found.measured) if remark]
    yield from remarks[:_MAX_REMARKS]
    if len(remarks) > _MAX_REMARKS:
        yield f"{len(remarks) - _MAX_REMARKS} more measurements had errors or were not made"
    yield from map(escape.one_line, found.notes)


def _row(each: bench.Measured) -> tuple[str, ...]:
    latencies = each.latencies
    return (
        *_cell(latencies.cell),
        _PROTOCOLS[each.protocol],
        each.loop,
        *(_percentile(latencies, percentile, steady=each.steady) for percentile in (50, 90, 99)),
        f"{each.per_second:.0f}" if latencies.requests else "",
        f"{latencies.requests}",
    )


def _boot(cold: evidence.Latency | None, warm: evidence.Latency) -> tuple[str, ...]:
    seconds = (cold.first_s if cold else None, warm.first_s, warm.steady_s)
    return (*_cell(warm.cell), *("" if each is None else _ms(each) for each in seconds))


def _percentile(latencies: evidence.Latencies, percentile: int, *, steady: bool) -> str:
    if not latencies.requests:
        return ""
    interval = latencies.interval(percentile)
    high = "?" if interval.high_s is None else _ms(interval.high_s)
    low = _ms(interval.low_s) if interval.low_s else "?"
    return f"{'' if steady else '~'}{_ms(latencies.percentile_s(percentile))} ({low}-{high})"


def _ms(seconds: float) -> str:
    """Milliseconds with about three digits."""
    milliseconds = seconds * 1000
    return f"{milliseconds:.{2 if milliseconds < 10 else 1 if milliseconds < 100 else 0}f}"  # noqa: PLR2004


def _remark(each: bench.Measured) -> str:
    """What kept a measurement from being made or ending well; empty without anything."""
    if each.reason:
        text = f"not sent: {each.reason}"
    elif each.error:
        text = f"{each.error}: {each.message}"
    elif each.dropped:
        text = f"{each.dropped} requests were not sent, because too many waited for their answer"
    else:
        return ""
    name, batch_size = _cell(each.latencies.cell)
    where = f"{name}, batch size {batch_size}, {_PROTOCOLS[each.protocol]}, {each.loop}"
    return escape.cut(escape.one_line(f"{where}: {text}"), _MAX_REMARK_LENGTH)


def _cell(cell: options.Cell | None) -> Sequence[str]:
    return ("all", "") if cell is None else (f"{escape.name(cell.signature)}:{cell.method.value}", str(cell.batch_size))
