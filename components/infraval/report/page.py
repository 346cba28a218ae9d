"""The page: `report.html`, one file that needs nothing else, from the report alone.

Every string in a report may come from a model, a server or a file. The template's output is escaped for HTML by
jinja2, and whatever is not printable before that by `_printable`, so the template cannot forget it.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import html
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from infraval import escape, verdict
from infraval.gates import baseline
from infraval.report import advice, axes, charts, comparison, data, formats

if TYPE_CHECKING:
    import jinja2

PAGE = "report.html"

_MAX_ITEMS = 200
"""Of a list or an object in the report."""

_MAX_REQUESTS = 50
"""Of the requests in the JSON that the page carries; what it shows of them is about all."""

_MAX_FAILURES = 20
"""Kinds of failed requests that are shown."""

_BRIEF = 400
"""Characters of a message in a table; report.json has all of it."""

_LOG_FACTOR = 10
"""How much longer than other strings a server's log may be; its end is kept."""

_MAX_CARRIED = 80_000
"""Bytes of the JSON as it is in the page."""

_CARRIED_LENGTHS = (escape.MAX_MESSAGE_LENGTH, 400, 80, 20)
"""Characters that each string in it may have; fewer are tried if it is too long."""

_HEAT = (2.0, 5.0, 10.0)
"""Up to which first requests, as multiples of steady ones, a cell has the first, second and third color of the map."""

_SAME = 1.1
"""Latencies that differ by less than this factor from the baseline's are called unchanged."""


@dataclasses.dataclass(frozen=True)
class _Heat:
    """A cell in the map.

    Attributes:
      found: what was measured.
      level: number of its color; None without a ratio.
    """

    found: data.CellSummary
    level: int | None


@dataclasses.dataclass(frozen=True)
class _Judged:
    """What one server found, with what the page works out from it.

    Attributes:
      title: how the server is called, if there are several.
      report: what it found.
      batch_sizes: columns of the map.
      heat: rows of the map: a signature with its method, and its cells by batch size; None if there is none.
      charts: those for which there is data.
      failures: requests that failed, the most frequent ways first.
      more_failures: requests that failed in other ways than these.
      median_steady_s: over all cells.
      compared: figures beside the baseline, by their names.
    """

    title: str
    report: data.ServerReport
    batch_sizes: tuple[int, ...]
    heat: tuple[tuple[str, tuple[_Heat | None, ...]], ...]
    charts: tuple[charts.Chart, ...]
    failures: tuple[data.Failures, ...]
    more_failures: int
    median_steady_s: float | None
    compared: dict[str, float | None]


def render(whole: data.Report) -> str:
    """The page of a report, as HTML.

    Raises:
      InputError: the report is in a format that this version does not know.
    """
    data.check_version(whole)
    short, is_cut = _shortened(whole.model_dump(mode="json"), escape.MAX_MESSAGE_LENGTH)
    shown = data.Report.model_validate(short)
    carried, more_is_cut = _carried(short)
    judged = [_judged(number, shown, whole.servers[number]) for number in range(len(shown.servers))]
    findings = [finding for server in whole.servers for finding in server.findings]
    page = (
        _environment()
        .get_template(PAGE)
        .render(
            report=shown,
            servers=judged,
            rows=_rows(shown.servers),
            carried=carried,
            is_cut=is_cut or more_is_cut,
            summary=formats.summary(findings),
            count=collections.Counter(finding.status.value for finding in findings),
            heat_limits=_HEAT,
        )
    )
    # A template ends in no line break.
    return f"{page}\n"


def frame(content: str) -> str:
    """A page as a part of another one, such as a notebook: in a frame, where its styles end and no script runs."""
    style = "border: 0; width: 100%; height: 40rem"
    return f'<iframe title="Verdict" sandbox srcdoc="{html.escape(content)}" style="{style}"></iframe>'


def render_comparison(
    before: data.Report,
    after: data.Report,
    changes: Sequence[comparison.ServerChange],
    regressed: Sequence[str],
) -> str:
    """Two reports side by side as a page, with the names of the gates that regressed.

    Raises:
      InputError: a report is in a format that this version does not know.
    """
    data.check_version(before)
    data.check_version(after)
    page = _environment().get_template("comparison.html")
    shown = page.render(before=before, after=after, changes=changes, regressed=regressed, max_items=_MAX_ITEMS)
    return f"{shown}\n"


def _carried(short: dict[str, Any]) -> tuple[str, bool]:
    """The report that the page carries, as JSON that is safe in a script element, and whether anything was left out."""
    from jinja2 import utils  # noqa: PLC0415 - takes a moment, and a run without an output does not need it

    is_cut = False
    servers = []
    for server in short["servers"]:
        is_cut = is_cut or len(server["requests"]) > _MAX_REQUESTS
        servers.append(server | {"requests": server["requests"][:_MAX_REQUESTS]})
    carried = short | {"servers": servers}
    for length in _CARRIED_LENGTHS:
        carried, shorter = _shortened(carried, length)
        is_cut = is_cut or shorter
        # In JSON, what is not finite becomes null.
        plain = json.loads(data.Report.model_validate(carried).model_dump_json())
        content = utils.htmlsafe_json_dumps(plain, separators=(",", ":"))
        if len(content) <= _MAX_CARRIED:
            break
    return content, is_cut


def _shortened(value: Any, length: int, key: str = "") -> tuple[Any, bool]:
    """A JSON value with lists and strings of so many characters at most, and whether anything was left out."""
    if isinstance(value, str):
        kept = value[-_LOG_FACTOR * length :] if key == "server_log" else value[:length]
        return kept, kept != value
    if isinstance(value, dict):
        items = {name: _shortened(item, length, name) for name, item in list(value.items())[:_MAX_ITEMS]}
        kept_items = {name[:length]: item for name, (item, _) in items.items()}
        return kept_items, kept_items.keys() != value.keys() or any(is_cut for _, is_cut in items.values())
    if isinstance(value, list):
        kept_list = [_shortened(item, length, key) for item in value[:_MAX_ITEMS]]
        return [item for item, _ in kept_list], len(kept_list) < len(value) or any(is_cut for _, is_cut in kept_list)
    return value, False


def _judged(number: int, report: data.Report, whole: data.ServerReport) -> _Judged:
    """What the page shows of a server, of which the report may lack something that it is shown a summary of."""
    server = report.servers[number]
    failures = whole.failures
    beside = server.baseline
    return _Judged(
        title=_title(number, report.servers),
        report=server,
        batch_sizes=tuple(sorted({cell.cell.batch_size for cell in server.cells})),
        heat=_heat(server.cells),
        charts=_charts(server, whole),
        failures=tuple(failures[:_MAX_FAILURES]),
        more_failures=sum(each.requests for each in failures[_MAX_FAILURES:]),
        median_steady_s=whole.median_steady_s,
        compared={}
        if beside is None
        else baseline.figures(beside, server.load_time_s, server.memory_after_load, report.warmup.records),
    )


def _rows(servers: Sequence[data.ServerReport]) -> list[tuple[int, verdict.Finding]]:
    """What each gate says, with the number of the server: those of several servers below each other."""
    by_gate = itertools.zip_longest(*(server.findings for server in servers))
    return [(number, each) for found in by_gate for number, each in enumerate(found, 1) if each is not None]


def _title(number: int, servers: list[data.ServerReport]) -> str:
    if len(servers) == 1:
        return ""
    server = servers[number].server
    return f"{number + 1}: {escape.name(server.image or server.name)}"


def _heat(cells: Iterable[data.CellSummary]) -> tuple[tuple[str, tuple[_Heat | None, ...]], ...]:
    by_call: dict[str, dict[int, _Heat]] = {}
    for found in cells:
        level = None if found.warm_ratio is None else sum(found.warm_ratio > limit for limit in _HEAT)
        by_call.setdefault(formats.call(found.cell), {})[found.cell.batch_size] = _Heat(found, level)
    sizes = sorted({size for row in by_call.values() for size in row})
    return tuple((call, tuple(row.get(size) for size in sizes)) for call, row in by_call.items())


def _charts(server: data.ServerReport, whole: data.ServerReport) -> tuple[charts.Chart, ...]:
    latency = _latency_bar(server)
    peak = next((each.bar for each in server.findings if each.gate == "memory" and each.unit == "bytes"), None)
    times = axes.Times.of(server.timeline)
    drawn: list[charts.Chart | None] = []
    if times is not None:
        drawn.append(charts.latency_over_time(server, times, whole.requests, latency))
        drawn.append(charts.memory_over_time(whole.timeline, times, charts.Bar(peak, "bar of the peak")))
    elif server.load is not None:
        drawn.append(charts.load_over_time(server.load, latency))
    if server.load is not None:
        drawn.append(charts.percentiles(server.load, latency))
    if times is None:
        drawn.append(charts.replay(whole.requests))
    return tuple(chart for chart in drawn if chart is not None)


def _latency_bar(server: data.ServerReport) -> charts.Bar:
    """The bar in milliseconds that the gate judges by, and of which percentile it is, as far as its figure tells."""
    found = next((each for each in server.findings if each.gate == "latency" and each.bar and each.unit == "ms"), None)
    if found is None or found.bar is None:
        return charts.Bar()
    known = [] if server.load is None else [server.load.overall, *server.load.cells]
    of = next(
        (f" of p{each}" for each in (50, 90, 99) for one in known if one.percentile_s(each) * 1000 == found.figure), ""
    )
    return charts.Bar(found.bar / 1000, f"bar{of}")


def _change(ratio: float | None) -> str:
    """What a latency beside the baseline's means."""
    if ratio is None:
        return formats.MISSING
    if ratio > _SAME:
        return "▲ slower"
    return "▼ faster" if ratio < 1 / _SAME else "= unchanged"


def _printable(value: Any) -> Any:
    """What the template prints; a string is escaped unless the template itself made it."""
    return escape.one_line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - takes a moment, and a run without an output does not need it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("infraval.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "brief": lambda text: escape.cut(text, _BRIEF),
        "call": formats.call,
        "change": _change,
        "measure": formats.measure,
        "name": escape.name,
        "number": formats.number,
        "path": charts.path,
        "ratio": formats.ratio,
        "seconds": formats.seconds,
        "share": formats.share,
        "size": formats.size,
    }
    environment.globals |= {
        "ADVICE": advice.ADVICE,
        "SYMBOLS": {status.value: symbol for status, symbol in formats.SYMBOLS.items()},
        "verdict_words": formats.verdict_words,
        "plot": charts,
    }
    return environment
