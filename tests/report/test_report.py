"""report.json: what readers and their scripts rely on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from infraval import options, verdict
from infraval.report import data as report
from infraval.report import terminal


@pytest.fixture
def judged() -> verdict.Verdict:
    """A verdict in which no two values are alike."""
    return verdict.Verdict(
        reasons=(verdict.Reason(verdict.Gate.RESPONSES, "1 of 2 requests failed"),),
        server=verdict.Server("tensorflow_model_server", "2.16.1", "process"),
        tries=3,
        load_time_s=1.5,
        warmup=verdict.Warmup(records=4, records_replayed=5, from_model=6, dropped=7),
        examples=verdict.Examples(8, {"not a tf.Example": 9}, {"logs": "no feature"}),
        outcomes=(
            verdict.Outcome(options.Cell("predict", options.Method.PREDICT, 10), "OK", "", 0.0123456),
            verdict.Outcome(options.Cell("classification", options.Method.CLASSIFY, 11), "INTERNAL", "no\udcff", 12.0),
        ),
        digest="ab" * 32,
        cold=verdict.Cold(
            load_time_s=1.25,
            cold=(verdict.Latency(options.Cell("predict", options.Method.PREDICT, 10), 0.3, 0.002),),
            warm=(verdict.Latency(options.Cell("predict", options.Method.PREDICT, 10), 0.0015, 0.001),),
        ),
        server_log="I Adding/updating models.",
    )


def test_the_documented_keys(judged: verdict.Verdict, tmp_path: Path) -> None:
    """Every key with its value; they are only ever added to."""
    report.write(judged, tmp_path / "new" / "output")
    written = json.loads((tmp_path / "new" / "output" / "report.json").read_text(encoding="utf-8"))
    assert (
        written
        == report.to_dict(judged)
        == {
            "verdict": "NOT_BLESSED",
            "reasons": [{"gate": "responses", "message": "1 of 2 requests failed"}],
            "server": {
                "name": "tensorflow_model_server",
                "version": "2.16.1",
                "platform": "process",
                "image": None,
                "image_id": None,
                "image_digest": None,
            },
            "model_digest": f"sha256:{'ab' * 32}",
            "tries": 3,
            "load_time_s": 1.5,
            "server_log": "I Adding/updating models.",
            "warmup": {"records": 4, "records_replayed": 5, "records_from_model": 6, "records_dropped": 7},
            "cold": {
                "load_time_s": 1.25,
                "cells": [
                    {
                        "signature": "predict",
                        "method": "predict",
                        "batch_size": 10,
                        "cold_first_ms": 300.0,
                        "warm_first_ms": 1.5,
                        "steady_ms": 1.0,
                    }
                ],
            },
            "examples": {
                "records_read": 8,
                "dead_letters": {"not a tf.Example": 9},
                "left_out": {"logs": "no feature"},
            },
            "requests": [
                {
                    "signature": "predict",
                    "method": "predict",
                    "batch_size": 10,
                    "code": "OK",
                    "message": "",
                    "latency_ms": 12.346,
                },
                {
                    "signature": "classification",
                    "method": "classify",
                    "batch_size": 11,
                    "code": "INTERNAL",
                    "message": "no\udcff",
                    "latency_ms": 12000.0,
                },
            ],
            "others": [],
        }
    )


def test_people_are_shown_the_servers_last_words(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """Why a server crashed is most often in its log; one that did not has none to show."""
    terminal.show_report(report.to_dict(judged))
    terminal.show_report(report.to_dict(dataclasses.replace(judged, server_log="")))

    shown = capsys.readouterr().out
    assert shown.count("last words") == 1
    assert "    I Adding/updating models." in shown


def test_what_was_not_measured_is_null(judged: verdict.Verdict) -> None:
    """A model that never loaded, with no examples; the keys are there all the same."""
    bare = dataclasses.replace(
        judged, reasons=(), load_time_s=None, examples=None, warmup=verdict.Warmup(), outcomes=()
    )
    as_dict = report.to_dict(bare)
    assert as_dict["verdict"] == "BLESSED"
    assert set(as_dict) == set(report.to_dict(judged))
    assert (as_dict["load_time_s"], as_dict["examples"], as_dict["warmup"]["records_replayed"]) == (None, None, None)
    assert as_dict["reasons"] == as_dict["requests"] == []


def test_several_images_have_a_verdict_each(judged: verdict.Verdict) -> None:
    """One that fails the model fails it for all, and each reason says whose it is."""

    def on(tag: str, *reasons: verdict.Reason) -> verdict.Verdict:
        image = f"tensorflow/serving:{tag}"
        server = verdict.Server("tensorflow_model_server", tag, "docker", image, f"sha256:{tag}", f"x@{tag}")
        return dataclasses.replace(judged, server=server, reasons=reasons)

    first = on("1", verdict.Reason(verdict.Gate.LOAD, "too old"))
    both = dataclasses.replace(first, others=(on("2"),))

    as_dict = report.to_dict(both)
    assert as_dict["verdict"] == "NOT_BLESSED"
    assert as_dict["server"]["image"] == "tensorflow/serving:1"
    (other,) = as_dict["others"]
    assert (other["verdict"], other["reasons"]) == ("BLESSED", [])
    assert other["server"] == {
        "name": "tensorflow_model_server",
        "version": "2",
        "platform": "docker",
        "image": "tensorflow/serving:2",
        "image_id": "sha256:2",
        "image_digest": "x@2",
    }
    assert report.reasons(both) == ["tensorflow/serving:1: too old"]
    assert report.reasons(first) == ["too old"]
    assert not both.blessed
    assert dataclasses.replace(on("1"), others=(on("2"),)).blessed


def test_it_is_written_whole(judged: verdict.Verdict, tmp_path: Path) -> None:
    """One file and no other; who has the older one open reads it to its end."""
    report.write(dataclasses.replace(judged, tries=1), tmp_path)
    with (tmp_path / "report.json").open(encoding="utf-8") as older:
        report.write(judged, tmp_path)
        assert json.load(older)["tries"] == 1
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["tries"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
