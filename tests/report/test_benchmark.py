"""What `infraval bench` found, as tables, Markdown and JSON."""

from __future__ import annotations

import io
import json

import markdown_it
import rich.console

from infraval import evidence, options
from infraval.percentile_bars import Interval
from infraval.report import benchmark, markdown, terminal
from infraval.trial import bench

HOSTILE = "a|b\x1b[31m<b>[x](y)"
CELL = options.Cell(HOSTILE, options.Method.PREDICT, 4)
LATENCIES = evidence.Latencies(
    CELL, 400, 0.001, 0.002, 0.003, 0.1, intervals=(Interval(50, 0.0005, 0.0015), Interval(99, 0.0025, None))
)
FOUND = bench.Benchmark(
    HOSTILE,
    concurrency=2,
    rate=50.0,
    measured=(
        bench.Measured("grpc", "closed", LATENCIES, per_second=1234.5),
        bench.Measured("rest", "open", LATENCIES, steady=False, dropped=7),
        bench.Measured("rest", "closed", evidence.Latencies(CELL), error="INTERNAL", message=HOSTILE * 1000),
        bench.Measured("rest", "closed", evidence.Latencies(CELL), reason="REST has no MultiInference"),
    ),
    cold=(evidence.Latency(CELL, 0.5, 0.001),),
    warm=(evidence.Latency(CELL, 0.002, 0.001),),
    notes=(HOSTILE,),
)


def test_rows_have_figures_and_intervals() -> None:
    """In milliseconds; what is not known is a question mark, what was not measured is empty."""
    (_, head, aligned, rows), (_, _, _, boots) = benchmark.tables(FOUND)
    assert {len(row) for row in rows} == {len(head)} == {len(aligned)}
    assert rows[0][1:4] == ("4", "gRPC", "closed")
    assert rows[0][4:] == ("1.00 (0.50-1.50)", "2.00 (?-?)", "3.00 (2.50-?)", "1234", "400")
    assert rows[1][4].startswith("~")
    assert rows[3][4:] == ("", "", "", "", "0")
    assert boots[0][1:] == ("4", "500", "2.00", "1.00")
    remarks = [note for note in benchmark.notes(FOUND) if "REST, " in note]
    assert [word in note for word, note in zip(("7", "INTERNAL", "MultiInference"), remarks, strict=True)] == [True] * 3


def test_nothing_of_the_server_is_markup() -> None:
    """Neither on a terminal nor in Markdown; long messages are cut."""
    shown = io.StringIO()
    terminal.show_benchmark(FOUND, rich.console.Console(file=shown, width=300))
    text = shown.getvalue()
    assert "\x1b" not in text
    assert "[x](y)" in text
    assert len(text) < 10_000
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(markdown.render_benchmark(FOUND))
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 2
    assert kinds.count("tr_open") == 1 + 4 + 1 + 1
    inline = {part.type for token in tokens for part in token.children or ()}
    assert inline <= {"text", "text_special", "softbreak"}


def test_json_has_everything() -> None:
    """Cells by their fields, unknown bounds as null."""
    found = json.loads(benchmark.as_json(FOUND))
    assert found["measured"][0]["latencies"]["cell"] == {"signature": HOSTILE, "method": "predict", "batch_size": 4}
    assert found["measured"][0]["latencies"]["intervals"][1] == {"percentile": 99, "low_s": 0.0025, "high_s": None}
    assert (found["rate"], len(found["cold"]), len(found["warm"])) == (50.0, 1, 1)
