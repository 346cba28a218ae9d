"""The report in short, as Markdown for a pull request or a job's summary: `report.md`.

What a model, a server or a file says is no markup there: it makes no table, link, mention or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from infraval import escape, verdict
from infraval.report import benchmark, data, formats
from infraval.trial import bench

MARKDOWN = "report.md"

_MAX_ROWS = 50
_MAX_REASON_LENGTH = 500

_MARKUP = re.compile(r"[&<>|\\`*~\[\]{}!$^#@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
_REFERENCES = "@#:."
"""Some sites still find a link or a mention if these are written as entities, unless something comes after."""


def render(report: data.Report) -> str:
    """The report as Markdown.

    Raises:
      InputError: the report is in a format that this version does not know.
    """
    data.check_version(report)
    findings = [finding for server in report.servers for finding in server.findings]
    lines = [f"# {formats.verdict_words(report.verdict)}", "", _text(formats.summary(findings)), ""]
    lines += [f"- Hint: {_text(hint.text)}" for hint in report.hints]
    lines += [f"- Warning: {_text(warning)}" for warning in report.warnings[:_MAX_ROWS]]
    lines += ["", f"Model: {_text(escape.name(report.model_digest))}, warmup records: {report.warmup.records}", ""]
    for server in report.servers:
        lines += [*_server(server), ""]
    return "\n".join(_without_double_blanks(lines))


def _server(found: data.ServerReport) -> Iterator[str]:
    server = found.server
    image = f", image {_text(escape.name(server.image))}" if server.image else ""
    yield f"## {formats.verdict_words(found.verdict)} by {_text(escape.name(server.name))}{image}"
    yield ""
    load = formats.seconds(found.load_time_s)
    yield f"Version: {_text(escape.name(server.version))}, sandbox: {_text(escape.name(server.platform))}, load: {load}"
    yield ""
    yield from _table(("gate", "status", "figure", "bar", "why"), "llrrl", [_finding(each) for each in found.findings])
    yield ""
    cells = [
        (
            f"{_text(formats.call(each.cell))}",
            formats.number(each.cell.batch_size),
            f"{each.answered}/{each.requests}",
            formats.seconds(each.cold_first_s),
            formats.seconds(each.warm_first_s),
            formats.seconds(each.median_s if each.steady_s is None else each.steady_s),
        )
        for each in found.cells
    ]
    yield from _table(("cell", "batch size", "answered", "cold", "warm", "steady"), "lrrrrr", cells)


def render_benchmark(found: bench.Benchmark) -> str:
    """What `infraval bench` found, as Markdown."""
    lines = ["# Benchmark", "", _text(f"Server: {escape.one_line(found.server)}"), ""]
    for title, head, aligned, rows in benchmark.tables(found):
        lines += [title, "", *_table(head, aligned, [tuple(map(_text, row)) for row in rows]), ""]
    lines += [f"- {_text(line)}" for line in benchmark.notes(found)]
    return "\n".join(_without_double_blanks(lines)) + "\n"


def _finding(finding: verdict.Finding) -> tuple[str, ...]:
    reasons = " ".join(_text(escape.cut(reason, _MAX_REASON_LENGTH)) for reason in finding.reasons)
    return (
        _text(escape.name(finding.gate)),
        f"{formats.SYMBOLS[finding.status]} {finding.status.value}",
        _text(formats.measure(finding.figure, finding.unit)),
        _text(formats.measure(finding.bar, finding.unit)),
        reasons,
    )


def _table(names: Sequence[str], aligned: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose cells are Markdown; `aligned` has an `l` or `r` for each column."""
    if not rows:
        return
    yield _row(names)
    yield _row("--:" if side == "r" else "---" for side in aligned)
    yield from map(_row, rows[:_MAX_ROWS])
    if len(rows) > _MAX_ROWS:
        yield ""
        yield f"{len(rows) - _MAX_ROWS} more are in `{data.REPORT}`."


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text that is nothing but text in Markdown, in HTML and in a table's cell."""
    return _MARKUP.sub(_entity, escape.one_line(text))


def _entity(found: re.Match[str]) -> str:
    character = found.group()
    return f"&#{ord(character)};{'&#8203;' if character in _REFERENCES else ''}"


def _without_double_blanks(lines: Iterable[str]) -> Iterator[str]:
    last = None
    for line in lines:
        if line or last:
            yield line
        last = line
