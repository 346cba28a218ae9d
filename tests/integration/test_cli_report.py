"""`infraval report`: a report.json that is shown again, and the schema that it follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval.report import data

Run = Callable[..., Any]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report of one server that failed the model."""
    cell = {"signature": "predict", "method": "predict", "batch_size": 1}
    server = {
        "verdict": "NOT_BLESSED",
        "server": {
            "name": "tensorflow_model_server",
            "version": "2.16.1",
            "platform": "process",
            "embedded": False,
            "image": "",
            "image_id": "",
            "image_digest": "",
        },
        "findings": [
            {"gate": "responses", "status": "failed", "reasons": ["No."], "figure": 0, "bar": 1, "unit": "requests"}
        ],
        "tries": 1,
        "load_time_s": 1.5,
        "cold_load_time_s": None,
        "records_replayed": 1,
        "server_log": "",
        "cells": [
            {
                "cell": cell,
                "requests": 1,
                "answered": 0,
                "first_s": 0.0025,
                "median_s": 0.0025,
                "cold_first_s": None,
                "warm_first_s": None,
                "steady_s": None,
            }
        ],
        "requests": [{"cell": cell, "code": "INTERNAL", "message": "No.", "latency_s": 0.0025}],
    }
    path = tmp_path / "report.json"
    path.write_text(
        json.dumps(
            {
                "schema_version": data.SCHEMA_VERSION,
                "verdict": "NOT_BLESSED",
                "model_digest": "sha256:00",
                "warmup": {"records": 1, "from_model": 0, "dropped": 0},
                "examples": None,
                "servers": [server],
            }
        )
    )
    return path


def test_a_report_is_shown_as_after_the_validation(report: Path, run: Run) -> None:
    """Verdict, failed gates, server and cells; to show it is a success, whatever it says."""
    finished = run("report", report)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[:2] == ["NOT_BLESSED", "  responses: No."]
    assert "predict:predict" in finished.stdout


def test_the_schema_is_printed(run: Run) -> None:
    """As it is published."""
    finished = run("report", "--schema")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == data.schema()


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema_version": 1}', "[1]", "\x00"])
def test_what_is_not_a_report_is_refused(content: str | None, run: Run, tmp_path: Path) -> None:
    """In one sentence that names the file."""
    path = tmp_path / "some.json"
    if content is not None:
        path.write_text(content)
    finished = run("report", path)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.count("\n") == 1
    assert str(path) in finished.stderr


@pytest.mark.parametrize("arguments", [[], ["x", "--schema"]])
def test_it_is_either_a_file_or_the_schema(arguments: list[str], run: Run) -> None:
    """Neither or both are refused."""
    assert run("report", *arguments).returncode == 2
