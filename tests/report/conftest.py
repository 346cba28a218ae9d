"""A report in which everything was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infraval import evidence, options, percentile_bars, verdict
from infraval.report import data


def _make_report(text: str = "x", *, servers: int = 2, cells: int = 2, requests: int = 3) -> data.Report:
    """A report whose every string is the same, but for those that only infraval itself chooses."""
    method = options.Method.PREDICT
    called = [options.Cell(text, method, number + 1) for number in range(cells)]
    outcomes = [
        evidence.Outcome(
            called[number % cells], text if number % 2 else "OK", text, 0.001 * (number + 1), 4 + number / 1000
        )
        for number in range(requests)
    ]
    compared = (evidence.Compared(text, method, text, text, 8, 1, 24, 2, 0.25, 0.5, (text,), 8, 1),)
    unanswered = (evidence.Unanswered(text, method, text, text, 3),)
    intervals = tuple(percentile_bars.Interval(each, 0.001 * each, 0.0012 * each) for each in (50, 90, 99))
    latencies = [
        evidence.Latencies(cell, 1000, 0.002, 0.005, 0.02, 0.3, (8,), (7,), intervals, intervals) for cell in called
    ]
    load = evidence.Load(
        evidence.Latencies(None, 9000, 0.001, 0.004, 0.01, 0.3, (9,), (9,), intervals, intervals),
        cells=tuple(latencies),
        sent=9100,
        settling=100,
        steady=False,
        errors={text: 1},
        message=text,
        death=text,
        seconds=60.0,
        points=tuple(evidence.LoadPoint(number / 3, 45, 0.001, 0.01, 0.02) for number in range(200)),
        start_s=15.0,
    )
    phases = (("load", 0.0, 1.5), ("warmup", 1.5, 0.5), ("first requests", 2.0, 2.0), ("requests", 4.0, 11.0))
    timeline = evidence.Timeline(
        tuple(evidence.Phase(*each) for each in (*phases, (text, 15.0, 70.0))),
        tuple(evidence.MemorySample(number / 2.5, number << 20, number << 19) for number in range(200)),
    )
    beside = tuple(evidence.Beside(cell, 10, 0.003, 0.002, 0.004, 0.003) for cell in called)
    findings = [
        verdict.Finding(text, status, () if status is verdict.Status.PASSED else (text, text), 2.5, 2.0, text)
        for status in verdict.Status
    ]
    server = data.ServerReport(
        verdict="NOT_BLESSED",
        server=evidence.Server(text, text, text, False, text, text, text, (text,)),
        findings=findings,
        tries=3,
        load_time_s=1.5,
        cold_load_time_s=1.25,
        records_replayed=5,
        server_log=f"{text}\n{text}",
        cells=[
            data.CellSummary(
                cell=cell,
                requests=2,
                answered=1,
                first_s=0.01,
                median_s=0.002,
                cold_first_s=0.3,
                warm_first_s=0.002 * (number + 1),
                steady_s=0.001,
                is_steady=bool(number % 2),
                warm_first_sent_s=2.0 + number / 100,
            )
            for number, cell in enumerate(called)
        ],
        requests=outcomes,
        determinism=evidence.Determinism(True, 17, 4, compared, compared, unanswered),
        expected=evidence.Expected(998, True, 998, 997, compared, unanswered),
        baseline=evidence.Baseline(text, 30, 20, 8, beside, compared, unanswered, 2, 1.0),
        load=load,
        sizes=data.Sizes(model=5 << 20, largest_request=22, largest_response=33),
        memory_after_load=evidence.Memory(11 << 20, 9 << 20, 15 << 20),
        memory=evidence.MemoryUse(
            after_requests=evidence.Memory(12 << 20),
            at_end=evidence.Memory(13 << 20),
            peak_bytes=14 << 20,
            requests=1500,
            growth_bytes_per_1000=1536.0,
            growth_error=2560.0,
            failure=text,
        ),
        robustness=evidence.Robustness(
            44, 55, 66, (evidence.Killer(text, method, text, text, text, text, text),), (text,)
        ),
        swap=evidence.Swap(
            rate=20.0,
            before=evidence.Latencies(None, 100, 0.001, 0.002, 0.003, 0.004),
            during=evidence.Latencies(None, 60, 0.002, 0.003, 0.004, 0.005),
            errors={text: 7},
            message=text,
            answered_s=1.5,
            unloaded_s=0.25,
            waited_s=1.75,
            refused=evidence.Refused(text, text),
            death=text,
            before_bytes=16 << 20,
            peak_bytes=17 << 20,
        ),
        timeline=timeline,
    )
    examples = evidence.Examples(
        shards=4,
        shards_read=2,
        records_read=80,
        records_checked=8,
        dead_letters={text: 9},
        dead_letter_share_at_most=0.25,
        left_out={text: text},
        fed=(evidence.Fed(text, method, text, text), evidence.Fed(text, method, text, None)),
        constants={text: text},
        defaults=[text],
    )
    return data.Report(
        schema_version=data.SCHEMA_VERSION,
        verdict="NOT_BLESSED",
        model_digest=text,
        warmup=evidence.Warmup(4, 6, 7, (evidence.WarmupCell(called[0], 3, 256),)),
        examples=examples,
        servers=[server.model_copy() for _ in range(servers)],
        warnings=[text],
        hints=[verdict.Hint(text, text)],
        run=evidence.Run(text, 30.5, text, text, 2, {text: text}, (evidence.Stage(text, 0.5, 2.0),)),
    )


@pytest.fixture(scope="session")
def make_report() -> Callable[..., data.Report]:
    """Makes a report of so many servers, cells and requests, with a string in every place that is not infraval's."""
    return _make_report


@pytest.fixture
def report() -> data.Report:
    """Two servers that measured everything."""
    return _make_report()


@pytest.fixture
def bare() -> data.Report:
    """A model that never loaded, with no examples; without the keys that were added over time."""
    server: dict[str, Any] = {
        "verdict": "NOT_BLESSED",
        "server": {"name": "s", "version": "1", "platform": "process", "embedded": False},
        "findings": [{"gate": "load", "status": "failed", "reasons": ["Late."], "figure": None, "bar": 2, "unit": "s"}],
        "tries": 1,
        "load_time_s": None,
        "cold_load_time_s": None,
        "records_replayed": None,
        "server_log": "",
        "cells": [],
        "requests": [],
    }
    return data.Report.model_validate(
        {
            "schema_version": 1,
            "verdict": "NOT_BLESSED",
            "model_digest": "sha256:00",
            "warmup": {"records": 0, "from_model": 0, "dropped": 0},
            "examples": None,
            "servers": [server],
        }
    )
