"""What a person sees: progress, verdict, inspection. Tables on a terminal and in a pipe alike."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows what happens on standard error: a spinner on a terminal, plain lines elsewhere."""
    console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield lambda text: console.print(f"infraval: {text}", markup=False)
        return
    with console.status("Starting") as status:
        yield lambda text: status.update(rich.markup.escape(text))


def show_report(found: dict[str, Any]) -> None:
    """Prints what `bless.report.to_dict` made of a verdict: reasons, server, latencies by cell."""
    console = rich.console.Console(highlight=False, soft_wrap=True)
    colour = "green" if found["verdict"] == "BLESSED" else "red"
    console.print(f"[bold {colour}]{found['verdict']}[/]")
    for reason in found["reasons"]:
        console.print(f"  {reason['gate']}: {reason['message']}", markup=False)
    server = found["server"]
    console.print(f"server  {server['name']} ({server['version']}), {server['platform']} sandbox", markup=False)
    if found["load_time_s"] is not None:
        records, replayed = found["warmup"]["records"], found["warmup"]["records_replayed"]
        warm = f"warmup records replayed: {replayed}" if records else "no warmup records: it starts cold"
        if records and replayed is None:
            warm = "without its warmup file, with which the server refuses it"
        console.print(f"load    {found['load_time_s']:.1f} s, {warm}")
    if found["requests"]:
        console.print(_cells(found["requests"]))


def show_inspection(found: dict[str, Any]) -> None:
    """Prints what `inspection.inspect` found."""
    console = rich.console.Console(highlight=False, soft_wrap=True)
    table = rich.table.Table("signature", "method", "inputs", "outputs", box=rich.box.SIMPLE_HEAD)
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
    table = rich.table.Table("signature", "method", "batch size", "records", box=rich.box.SIMPLE_HEAD)
    for cell in warmup["cells"]:
        table.add_row(*(rich.markup.escape(str(cell[key])) for key in ("signature", "method", "batch_size", "records")))
    console.print(table)


def _cells(requests: list[dict[str, Any]]) -> rich.table.Table:
    by_cell: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for request in requests:
        by_cell.setdefault((request["signature"], request["method"], str(request["batch_size"])), []).append(request)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for column in ("signature", "method"):
        table.add_column(column, overflow="fold")
    for column in ("batch size", "answered", "first ms", "median ms"):
        table.add_column(column, justify="right")
    for cell, results in by_cell.items():
        latencies = [result["latency_ms"] for result in results]
        answered = sum(result["code"] == "OK" for result in results)
        table.add_row(
            *map(rich.markup.escape, cell),
            f"{answered}/{len(results)}",
            f"{latencies[0]:.1f}",
            f"{statistics.median(latencies):.1f}",
        )
    return table
