"""What a person sees: progress, verdict, inspection. Tables on a terminal and in a pipe alike."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table

from infraval import spec, verdict
from infraval.bless import report, staging

to_dict = report.to_dict


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows what happens on standard error: a spinner on a terminal, plain lines elsewhere."""
    console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield lambda text: console.print(f"infraval: {text}", markup=False)
        return
    with console.status("Starting") as status:
        yield lambda text: status.update(rich.markup.escape(text))


def show_verdict(judged: verdict.Verdict, model: Path, output: Path | None) -> None:
    """Prints a verdict with its reasons and the latencies by cell."""
    console = rich.console.Console(highlight=False, soft_wrap=True)
    colour, word = ("green", "BLESSED") if judged.blessed else ("red", "NOT BLESSED")
    console.print(f"[bold {colour}]{word}[/]  {rich.markup.escape(str(model))}")
    for reason in judged.reasons:
        console.print(f"  {reason.gate.value}: {reason.message}", markup=False)
    server = judged.server
    console.print(f"server: {server.name} {server.version} ({server.platform.value} sandbox)", markup=False)
    if judged.load_time_s is not None:
        warm = f"{judged.warmup.records} warmup records" if judged.warmup.records else "cold, it has no warmup records"
        console.print(f"load:   {judged.load_time_s:.1f} s, {warm}")
    if judged.outcomes:
        console.print(_cells(judged.outcomes))
    if output is not None:
        written = output / staging.STAMPED_MODEL if judged.blessed else output / report.REPORT
        console.print(f"written: {written}", markup=False)


def show_inspection(found: dict[str, Any]) -> None:
    """Prints what `inspection.inspect` found."""
    console = rich.console.Console(highlight=False, soft_wrap=True)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for column in ("signature", "method", "inputs", "outputs"):
        table.add_column(column)
    for key, signature in found["signatures"].items():
        sides = (
            "\n".join(f"{alias}: {tensor}" for alias, tensor in signature[side].items())
            for side in ("inputs", "outputs")
        )
        table.add_row(*map(rich.markup.escape, (key, signature["method"] or "none", *sides)))
    console.print(table)
    warmup = found["warmup"]
    if warmup is None:
        console.print("No warmup file: the model starts cold.")
        return
    console.print(f"Warmup file: {warmup['records']} records")
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for column in ("signature", "method", "batch size", "records"):
        table.add_column(column)
    for cell in warmup["cells"]:
        table.add_row(*(rich.markup.escape(str(cell[key])) for key in ("signature", "method", "batch_size", "records")))
    console.print(table)


def _cells(outcomes: tuple[verdict.Outcome, ...]) -> rich.table.Table:
    by_cell: dict[spec.Cell, list[verdict.Outcome]] = {}
    for outcome in outcomes:
        by_cell.setdefault(outcome.cell, []).append(outcome)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for column, side in (
        ("signature", "left"),
        ("method", "left"),
        ("batch size", "right"),
        ("answered", "right"),
        ("first ms", "right"),
        ("median ms", "right"),
    ):
        table.add_column(column, justify="right" if side == "right" else "left")
    for cell, results in by_cell.items():
        latencies = [1000 * outcome.latency_s for outcome in results]
        table.add_row(
            rich.markup.escape(cell.signature),
            cell.method.value,
            str(cell.batch_size),
            f"{sum(outcome.ok for outcome in results)}/{len(results)}",
            f"{latencies[0]:.1f}",
            f"{statistics.median(latencies):.1f}",
        )
    return table
