"""What a person sees: progress, verdict, inspection. Tables appear on a terminal and in a pipe.

Names, versions and messages come from a model, a server or a file, so each is escaped and capped where it is printed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.progress
import rich.style
import rich.table
import rich.text

from infraval import escape, evidence, options, streams, verdict
from infraval import progress as telling
from infraval.gates import baseline
from infraval.report import benchmark, comparison, data, formats
from infraval.trial import bench
from infraval.verdict import Finding

_WIDE = 120

_MIB = 1 << 20

_MAX_ROWS = 200
"""Of a table of `infraval bench`."""

_BAR_WIDTH = 24

_MAX_FEEDS = 20
"""Inputs of which it is shown what feeds them."""


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        """Raises, because rich would end the process with the exit code that means not blessed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows progress on standard error: on a terminal what goes on, with a bar, and each step's time; else lines."""
    console = _Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:

        def tell(text: str) -> None:
            with streams.optional(sys.stderr):
                _print_line(console, f"infraval: {text}")

        yield telling.rarely(tell)
        return
    columns = (
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as shown:
        steps = _Steps(shown)
        yield steps.tell
        steps.end()


class _Steps:
    """The step that goes on, as a line that moves; one that has ended leaves a line with its seconds."""

    def __init__(self, shown: rich.progress.Progress) -> None:
        self._shown = shown
        self._step = ""
        self._task: rich.progress.TaskID | None = None
        self._lock = threading.Lock()  # several servers may be tried at the same time

    def tell(self, sentence: str) -> None:
        """Begins a step, or says how far it is."""
        said = telling.read(sentence)
        with self._lock:
            if said.step != self._step or self._task is None:
                self._end()
                self._step, self._sentence = said.step, escape.one_line(sentence)
                self._task = self._shown.add_task(self._sentence, total=said.total or None)
            if said.total:
                bar = _bar(said.done / said.total)
                self._shown.update(self._task, description=f"{bar} {escape.one_line(sentence)}")

    def end(self) -> None:
        """Ends the last step."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._task is None:
            return
        seconds = self._shown.tasks[0].elapsed or 0.0
        self._shown.remove_task(self._task)
        self._task = None
        _print_line(self._shown.console, f"{seconds:6.1f} s  {self._sentence}")


def _bar(share: float) -> str:
    """A bar of text."""
    done = round(_BAR_WIDTH * min(share, 1.0))
    return "━" * done + "╌" * (_BAR_WIDTH - done)


def show_report(report: data.Report) -> None:
    """Prints a verdict: for each server its failed findings, its name and version, and latencies by cell."""
    console = _console()
    _show_verdict(console, report.verdict)
    for server in report.servers:
        if len(report.servers) > 1:
            console.print()
            _show_verdict(console, server.verdict)
        _show_server(console, server, report.warmup.records)
    feeds = report.examples.fed if report.examples else ()
    for fed in feeds[:_MAX_FEEDS]:
        source = "the whole record" if fed.feature is None else f"the feature '{escape.name(fed.feature)}'"
        name = f"{escape.name(fed.signature)}:{fed.method.value}/{escape.name(fed.input)}"
        _print_line(console, f"fed     {name} by {source}")
    if len(feeds) > _MAX_FEEDS:
        console.print(f"fed     {len(feeds) - _MAX_FEEDS} more inputs; the report lists them")
    for warning in report.warnings:
        _print_line(console, f"warning {warning}")
    for hint in report.hints:
        _print_line(console, f"hint    {hint.text}")


def show_page(place: str) -> None:
    """Prints where the page is, a path or a URI; on a terminal, a path is a link."""
    console = _console()
    link = None if "://" in place else pathlib.Path(place).absolute().as_uri()
    shown = rich.text.Text("page    ").append(escape.one_line(place), style=rich.style.Style(link=link))
    console.print(shown)


def show_comparison(
    before: data.Report,
    after: data.Report,
    changes: Iterable[comparison.ServerChange],
    regressed: Iterable[str],
) -> None:
    """Prints two reports side by side, and the gates that regressed."""
    console = _console()
    console.print(f"{before.verdict} -> {after.verdict}")
    for server in changes:
        _print_line(console, server.name)
        table = rich.table.Table("gate", "change", "before", "after", box=rich.box.SIMPLE_HEAD)
        for gate in server.gates:
            cells = (escape.name(gate.gate), gate.change.value, _finding(gate.before), _finding(gate.after))
            table.add_row(*map(rich.markup.escape, cells))
        console.print(table)
        if server.cells:
            console.print(_changes_table(server.cells))
    names = escape.names(regressed)
    console.print("No gate regressed." if names == "none" else rich.markup.escape(f"Regressed: {names}"))


def _finding(finding: Finding | None) -> str:
    if finding is None:
        return formats.MISSING
    figure = formats.measure(finding.figure, finding.unit)
    return escape.one_line(finding.status.value if finding.figure is None else f"{finding.status.value}, {figure}")


def _changes_table(cells: Iterable[comparison.CellChange]) -> rich.table.Table:
    table = _table("cell", "batch size", "warm before", "after", "steady before", "after", "ratio")
    for each in cells:
        both = (each.before, each.after)
        table.add_row(
            _cell(each.cell),
            str(each.cell.batch_size),
            *(formats.seconds(one.warm_first_s if one else None) for one in both),
            *(formats.seconds(one.steady_s if one else None) for one in both),
            formats.ratio(each.steady_ratio),
        )
    return table


def _show_verdict(console: rich.console.Console, shown: str) -> None:
    console.print(f"[bold {'green' if shown == 'BLESSED' else 'red'}]{shown}[/]")


def _show_server(console: rich.console.Console, found: data.ServerReport, records: int) -> None:
    for finding in found.findings:
        for reason in finding.reasons if finding.status in {"failed", "undecided"} else ():
            undecided = " (undecided)" if finding.status == "undecided" else ""
            _print_line(console, f"{finding.gate}{undecided}: {reason}", indent=2)
    console.print(_gates_table(found.findings))
    if found.server_log:
        console.print("  The last lines of the server's log:")
        for line in found.server_log.splitlines():
            _print_line(console, line, indent=4)
    _show_identity(console, found.server)
    if found.load_time_s is not None:
        warm = f"warmup records replayed: {found.records_replayed}" if records else "no warmup records: it starts cold"
        if records and found.records_replayed is None:
            warm = "without its warmup file, because the server refuses it with the file"
        console.print(f"load    {found.load_time_s:.1f} s, {warm}")
    for line in _studies(found, records):
        _print_line(console, line)
    if found.cells:
        console.print(_requests_table(found.cells))
    if any(cell.cold_first_s is not None and cell.warm_first_s is not None for cell in found.cells):
        console.print("First request of a fresh server, without (cold) and with (warm) the warmup file:")
        console.print(cold_table(found.cells))


def _gates_table(findings: Iterable[Finding]) -> rich.table.Table:
    """The gates that judged."""
    table = rich.table.Table("gate", "status", box=rich.box.SIMPLE_HEAD)
    for column in ("figure", "bar"):
        table.add_column(column, justify="right")
    for each in findings:
        if each.status != "skipped":
            table.add_row(
                rich.markup.escape(escape.name(each.gate)),
                f"[{_STYLES[each.status]}]{formats.SYMBOLS[each.status]} {each.status.value}[/]",
                *(
                    rich.markup.escape(escape.one_line(formats.measure(number, each.unit)))
                    for number in (each.figure, each.bar)
                ),
            )
    return table


_STYLES = {verdict.Status.PASSED: "green", verdict.Status.FAILED: "red", verdict.Status.UNDECIDED: "yellow"}

_FIGURES = {
    "p50_ratio": "median latency {:.2f}x",
    "p90_ratio": "p90 {:.2f}x",
    "load_time_ratio": "load {:.2f}x",
    "memory_ratio": "memory {:.2f}x",
    "size_ratio": "size {:.2f}x",
    "max_difference": "largest difference {:.3g}",
    "changed_class_share": "other top class {:.1%}",
    "changed_string_share": "other strings {:.1%}",
}


def _studies(found: data.ServerReport, records: int) -> Iterator[str]:
    """A line for each closer look at the server."""
    if found.determinism is not None:
        yield f"repeat  {found.determinism.requests} requests were sent again, alone and with others"
    if found.expected is not None:
        part = "; the files have more" if found.expected.is_part else ""
        yield f"expect  {found.expected.equal} of {found.expected.records} responses are as expected{part}"
    if found.baseline is not None:
        figures = baseline.figures(found.baseline, found.load_time_s, found.memory_after_load, records)
        shown = [_FIGURES[name].format(value) for name, value in figures.items() if value is not None]
        failed = sum(each.requests for each in found.baseline.unanswered)
        shown += [f"{failed} of {found.baseline.requests} requests the baseline cannot answer"] if failed else []
        yield f"baseline {', '.join(shown)}"
    if found.load is not None:
        yield _load(found.load)
    if found.memory is not None:
        yield _memory(found.memory)
    if found.swap is not None:
        yield _swap(found.swap)


def _load(load: evidence.Load) -> str:
    """How the server did under load; the mark is that of `_steady`."""
    all_of_them = load.overall
    percentiles = ", ".join(
        f"{name} {'' if load.steady else '~'}{seconds * 1000:.1f} ms"
        for name, seconds in (("p50", all_of_them.p50_s), ("p90", all_of_them.p90_s), ("p99", all_of_them.p99_s))
    )
    own = f"; infraval sent {load.late} late, {load.dropped} not at all" if load.late or load.dropped else ""
    return f"latency {percentiles} of {all_of_them.requests} requests at {load.rate:.0f}/s{own}"


def _memory(used: evidence.MemoryUse) -> str:
    """How much memory the server took, and how fast that grew."""
    slope, error = used.growth_bytes_per_1000, used.growth_error
    grows = ""
    if slope is not None and error is not None:
        grows = f", growing by {slope / _MIB:.1f} (error {error / _MIB:.1f}) MiB in 1000 requests"
    return f"memory  at most {used.peak_bytes / _MIB:.0f} MiB{grows}"


def _swap(swap: evidence.Swap) -> str:
    """How the server changed from the baseline to the model."""
    answered = (
        "the model did not answer" if swap.answered_s is None else f"the model answered in {swap.answered_s:.1f} s"
    )
    peak = "" if swap.peak_bytes is None else f", at most {swap.peak_bytes / _MIB:.0f} MiB"
    p99 = f"p99 {swap.before.p99_s * 1000:.1f} ms before, {swap.during.p99_s * 1000:.1f} ms during"
    return f"swap    {answered} at {swap.rate:g} requests/s, {swap.failed} failed, {p99}{peak}"


def _show_identity(console: rich.console.Console, server: evidence.Server) -> None:
    _print_line(console, f"server  {server.name} ({server.version}), {server.platform} sandbox")
    if server.image:
        _print_line(console, f"image   {server.image} ({server.image_digest or server.image_id})")
    if server.ignored_flags:
        _print_line(console, f"flags   without effect on the embedded server: {' '.join(server.ignored_flags)}")


def show_benchmark(found: bench.Benchmark, console: rich.console.Console | None = None) -> None:
    """Prints what `infraval bench` found, on standard output if nothing else is said."""
    console = console or _console()
    _print_line(console, f"server  {found.server}")
    for title, head, aligned, rows in benchmark.tables(found):
        console.print(title)
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for name, side in zip(head, aligned, strict=True):
            table.add_column(name, justify="right" if side == "r" else "left", overflow="fold")
        for row in rows[:_MAX_ROWS]:
            table.add_row(*map(rich.markup.escape, row))
        console.print(table)
        if len(rows) > _MAX_ROWS:
            console.print(f"{len(rows) - _MAX_ROWS} more rows are in what --json writes.")
    for line in benchmark.notes(found):
        _print_line(console, line)


def show_inspection(found: dict[str, Any]) -> None:
    """Prints what `inspection.inspect` found."""
    console = _console()
    table = rich.table.Table("signature", "method", "inputs", "outputs", box=rich.box.SIMPLE_HEAD)
    for key, signature in found["signatures"].items():
        inputs = "\n".join(
            f"{escape.name(alias)}: {tensor}{_remark(alias, signature)}"
            for alias, tensor in signature["inputs"].items()
        )
        outputs = "\n".join(f"{escape.name(alias)}: {tensor}" for alias, tensor in signature["outputs"].items())
        name = signature["method_name"]
        known = name == f"tensorflow/serving/{signature['method']}"
        method = signature["method"] if known else f"{signature['method']} ({escape.name(name) or 'no name'})"
        table.add_row(*map(rich.markup.escape, (escape.name(key), method, inputs, outputs)))
    console.print(table)
    warmup = found["warmup"]
    if warmup is None:
        console.print("No warmup file: the model starts cold.")
        return
    console.print(f"Warmup file: {warmup['records']} records")
    table = _table("cell", "batch size", "records")
    for cell in warmup["cells"]:
        name = rich.markup.escape(f"{escape.name(cell['signature'])}:{cell['method']}")
        table.add_row(name, str(cell["batch_size"]), str(cell["records"]))
    console.print(table)


def _remark(alias: str, signature: dict[str, Any]) -> str:
    """What to know about an input besides its type."""
    if alias in signature["composite"]:
        return f" ({signature['composite'][alias]}: not supported)"
    if alias in signature["defaults"]:
        return " (has a default)"
    return " (needs --input)" if alias in signature["constants"] else ""


def cold_table(cells: Iterable[data.CellSummary]) -> rich.table.Table:
    """First request after a boot without (cold) and with (warm) the warmup file, and the steady median."""
    table = _table("cell", "batch size", "cold ms", "warm ms", "steady ms")
    for cell in cells:
        seconds = [each for each in (cell.cold_first_s, cell.warm_first_s, cell.steady_s) if each is not None]
        if len(seconds) == 3:  # noqa: PLR2004 - all were measured
            table.add_row(_cell(cell.cell), str(cell.cell.batch_size), *(f"{each * 1000:.1f}" for each in seconds))
    return table


def _requests_table(cells: Iterable[data.CellSummary]) -> rich.table.Table:
    table = _table("cell", "batch size", "answered", "first ms", "steady ms")
    for cell in cells:
        table.add_row(
            _cell(cell.cell),
            str(cell.cell.batch_size),
            f"{cell.answered}/{cell.requests}",
            f"{(cell.first_s if cell.warm_first_s is None else cell.warm_first_s) * 1000:.1f}",
            _steady(cell),
        )
    return table


def _steady(cell: data.CellSummary) -> str:
    """The steady latency in milliseconds, with a mark if it is not steady, or else the median of the replay."""
    if cell.steady_s is None:
        return f"{cell.median_s * 1000:.1f}"
    return f"{'' if cell.is_steady else '~'}{cell.steady_s * 1000:.1f}"


def _table(label: str, *numbers: str) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    table.add_column(label, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def _cell(cell: options.Cell) -> str:
    """A cell as the command line spells it."""
    return rich.markup.escape(f"{escape.name(cell.signature)}:{cell.method.value}")


def _print_line(console: rich.console.Console, text: str, indent: int = 0) -> None:
    console.print(" " * indent + escape.one_line(text), markup=False)


def _console() -> rich.console.Console:
    console = _Console(highlight=False, soft_wrap=True)
    # Output to a pipe need not fit into 80 columns.
    return console if console.is_terminal else _Console(highlight=False, soft_wrap=True, width=_WIDE)
