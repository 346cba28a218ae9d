"""`infraval report`: a report.json that is shown again, and the schema that it follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraval.report import data, markdown, page

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


@pytest.mark.parametrize("arguments", [[], ["x", "--schema"], ["--schema", "--text"], ["--html", "x"]])
def test_it_is_either_a_file_or_the_schema(arguments: list[str], run: Run) -> None:
    """Neither or both are refused, and a format of the schema."""
    assert run("report", *arguments).returncode == 2


def test_the_page_and_markdown_are_written(report: Path, invoke: Run, tmp_path: Path) -> None:
    """Each to its file, which is replaced, or to standard output; the text is printed only if asked for then."""
    known = data.Report.model_validate_json(report.read_bytes())
    target = tmp_path / "page.html"
    target.write_text("old")
    finished = invoke("report", report, "--html", target, "--markdown", "-")
    assert (finished.exit_code, finished.stdout) == (0, markdown.render(known))
    assert target.read_text(encoding="utf-8") == page.render(known)
    finished = invoke("report", report, "--markdown", target, "--text")
    assert finished.stdout.startswith("NOT_BLESSED\n  responses: No.\n")
    assert target.read_text(encoding="utf-8") == markdown.render(known)


@pytest.mark.parametrize("arguments", [(), ("--html", "-"), ("--markdown", "-")])
def test_a_report_of_an_unknown_version_is_refused(arguments: tuple[str, ...], report: Path, invoke: Run) -> None:
    """In a sentence, whatever is asked for."""
    content = json.loads(report.read_text()) | {"schema_version": data.SCHEMA_VERSION + 1}
    report.write_text(json.dumps(content))
    finished = invoke("report", report, *arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert str(data.SCHEMA_VERSION + 1) in finished.stderr


@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_file_that_cannot_be_written_is_an_error(option: str, report: Path, invoke: Run) -> None:
    """The sentence names it."""
    finished = invoke("report", report, option, report / "file")
    assert finished.exit_code == 2
    assert f"{report}/file" in finished.stderr


def test_two_reports_are_compared(report: Path, invoke: Run, tmp_path: Path) -> None:
    """Exit code 1 if a gate that counts regressed."""
    content = json.loads(report.read_text())
    finding = content["servers"][0]["findings"][0]
    other = {"gate": "load", "status": "passed", "reasons": [], "figure": 1, "bar": None, "unit": "s"}
    content["servers"][0]["findings"] = [other, finding | {"status": "passed", "reasons": [], "figure": 1}]
    good = tmp_path / "good.json"
    good.write_text(json.dumps(content))

    assert invoke("compare", report, good).exit_code == 0
    finished = invoke("compare", good, report)
    assert (finished.exit_code, finished.stdout.splitlines()[-1]) == (1, "Regressed: responses")
    assert invoke("compare", good, report, "--gate", "load").exit_code == 0
    assert invoke("compare", good, report, "--gate", "load", "--gate", "responses").exit_code == 1
    assert invoke("compare", good, report, "--gate", "lod").exit_code == 2
    assert invoke("compare", good, tmp_path / "none.json").exit_code == 2
    finished = invoke("compare", good, report, "--html", tmp_path / "page.html")
    assert (finished.exit_code, finished.stdout) == (1, "")
    assert "Regressed" in (tmp_path / "page.html").read_text(encoding="utf-8")
