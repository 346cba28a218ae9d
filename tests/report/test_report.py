"""report.json: what readers and their scripts rely on."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infraval import evidence, options, verdict
from infraval.percentile_bars import Interval
from infraval.report import data, files, terminal

PREDICT = options.Cell("predict", options.Method.PREDICT, 10)
CLASSIFY = options.Cell("classification", options.Method.CLASSIFY, 11)


def _server(tag: str, *findings: verdict.Finding) -> verdict.ServerVerdict:
    """What a server says in which no two values are alike."""
    server = evidence.Server(
        "tensorflow_model_server",
        "2.16.1",
        "docker",
        False,
        f"x:{tag}",
        f"sha256:{tag}",
        f"x@{tag}",
        (f"--flag{tag}",),
    )
    boot = evidence.Boot(
        server,
        load_time_s=1.5,
        records_replayed=5,
        outcomes=(
            evidence.Outcome(PREDICT, "OK", "", 0.0125, 2.5),
            evidence.Outcome(PREDICT, "OK", "", 0.5),
            evidence.Outcome(CLASSIFY, "INTERNAL", "No.", 12.0),
        ),
        latencies=(evidence.Latency(PREDICT, 0.0015, 0.001, graph_builds=89, xla_compilations=90, first_sent_s=1.75),),
        memory=evidence.Memory(71, 72, 73),
        responses=evidence.Responses(answered=2, largest_bytes=33, largest_request_bytes=22),
        server_log="I Adding/updating models.",
        timeline=evidence.Timeline(
            (evidence.Phase("load", 0.0, 1.5),), (evidence.MemorySample(1.0, 91, 92), evidence.MemorySample(2.0, 93))
        ),
    )
    cold = evidence.Boot(server, load_time_s=1.25, latencies=(evidence.Latency(PREDICT, 0.3, 0.002),))
    load = evidence.Load(
        evidence.Latencies(
            None,
            21,
            0.25,
            0.5,
            0.75,
            1.0,
            (8,),
            (9,),
            (Interval(99, 0.625),),
            (Interval(50, 0.125, 0.375),),
            (evidence.Quantile(99.5, 0.875, 0.625),),
        ),
        cells=(evidence.Latencies(PREDICT, 22, over=(10,), over_since_sent=(11,)),),
        sent=60,
        settling=23,
        steady=False,
        errors={"INTERNAL": 24},
        message="Full.",
        death="SIGSEGV",
        late=25,
        dropped=26,
        lag_p99_s=0.125,
        lag_max_s=1.125,
        seconds=4.0,
        cells_left_out=27,
        points=(evidence.LoadPoint(2.125, 28, 2.25, 2.5, 2.75),),
        baseline=evidence.Load(evidence.Latencies(None, 29), sent=30),
        start_s=3.5,
    )
    killer = evidence.Killer("predict", options.Method.PREDICT, "x", "NaN", "{}", "SIGSEGV", "F")
    robust = evidence.Robustness(44, 55, 66, (killer,), ("Gone.",))
    shown = evidence.Evidence(
        boot,
        tries=3,
        requests=13,
        warmup=evidence.Warmup(4, 6, 7),
        cold=cold,
        load=load,
        model_bytes=11,
        memory=evidence.MemoryUse(
            evidence.Memory(74), evidence.Memory(75, 76, 77), 78 << 20, 79, 80.5 * (1 << 20), 81.5 * (1 << 20), "SIGBUS"
        ),
        robustness=robust,
        swap=evidence.Swap(
            rate=20.5,
            before=evidence.Latencies(None, 87),
            during=evidence.Latencies(None, 88, p99_s=0.25),
            during_p99_since_sent_s=0.125,
            failed_before=89,
            errors={"UNAVAILABLE": 90},
            message="Gone.",
            dropped=91,
            cells_left_out=92,
            answered_s=1.5,
            unloaded_s=2.5,
            waited_s=4.5,
            refused=evidence.Refused("NOT_FOUND", "No file."),
            death="SIGFPE",
            before_bytes=93,
            peak_bytes=94 << 20,
        ),
    )
    return verdict.ServerVerdict(shown, findings)


def as_json(judged: verdict.Verdict) -> dict[str, Any]:
    """The report as JSON values."""
    values: dict[str, Any] = data.report(judged).model_dump(mode="json")
    return values


def _percentiles(requests: int, p99_s: float) -> dict[str, Any]:
    """Latencies as JSON values; all others are zero."""
    shown = {"cell": None, "requests": requests, "p50_s": 0.0, "p90_s": 0.0, "p99_s": p99_s, "max_s": 0.0}
    return shown | {name: [] for name in ("over", "over_since_sent", "intervals", "intervals_since_sent", "curve")}


FAILED = verdict.Finding("responses", verdict.Status.FAILED, ("1 of 3 requests failed",), 2, 3, "requests")


@pytest.fixture
def judged() -> verdict.Verdict:
    """A verdict of one server."""
    fed = (evidence.Fed("images", options.Method.PREDICT, "png", "image/encoded"),)
    examples = evidence.Examples(
        shards=4,
        shards_read=2,
        records_per_shard=40,
        records_read=80,
        records_checked=8,
        dead_letters={"not a tf.Example": 9},
        dead_letter_share_at_most=0.25,
        left_out={"logs": "no feature"},
        fed=fed,
        constants={"s/k": "0.5"},
        defaults=["s/b"],
    )
    hints = (verdict.Hint("not-kept", "Keep it."),)
    return verdict.Verdict(
        (_server("1", FAILED),),
        "ab" * 32,
        evidence.Warmup(4, 6, 7, (evidence.WarmupCell(PREDICT, 2, 84),)),
        examples,
        ("No index.",),
        hints,
        evidence.Run("2026-01-02", 85.5, "infraval", "Linux", 86, {"tfx": "1"}, (evidence.Stage("trial", 87.5, 88.5),)),
    )


EXPECTED: dict[str, Any] = {
    "schema_version": 1,
    "verdict": "NOT_BLESSED",
    "model_digest": f"sha256:{'ab' * 32}",
    "warmup": {
        "records": 4,
        "from_model": 6,
        "dropped": 7,
        "cells": [{"cell": {"signature": "predict", "method": "predict", "batch_size": 10}, "records": 2, "bytes": 84}],
    },
    "examples": {
        "shards": 4,
        "shards_read": 2,
        "records_per_shard": 40,
        "records_read": 80,
        "records_checked": 8,
        "dead_letters": {"not a tf.Example": 9},
        "dead_letter_share_at_most": 0.25,
        "left_out": {"logs": "no feature"},
        "fed": [{"signature": "images", "method": "predict", "input": "png", "feature": "image/encoded"}],
        "constants": {"s/k": "0.5"},
        "defaults": ["s/b"],
    },
    "servers": [
        {
            "verdict": "NOT_BLESSED",
            "server": {
                "name": "tensorflow_model_server",
                "version": "2.16.1",
                "platform": "docker",
                "embedded": False,
                "image": "x:1",
                "image_id": "sha256:1",
                "image_digest": "x@1",
                "ignored_flags": ["--flag1"],
            },
            "findings": [
                {
                    "gate": "responses",
                    "status": "failed",
                    "reasons": ["1 of 3 requests failed"],
                    "figure": 2,
                    "bar": 3,
                    "unit": "requests",
                }
            ],
            "tries": 3,
            "load_time_s": 1.5,
            "cold_load_time_s": 1.25,
            "records_replayed": 5,
            "server_log": "I Adding/updating models.",
            "cells": [
                {
                    "cell": {"signature": "predict", "method": "predict", "batch_size": 10},
                    "requests": 2,
                    "answered": 2,
                    "first_s": 0.0125,
                    "median_s": 0.25625,
                    "cold_first_s": 0.3,
                    "warm_first_s": 0.0015,
                    "steady_s": 0.001,
                    "is_steady": True,
                    "graph_builds": 89,
                    "xla_compilations": 90,
                    "warm_first_sent_s": 1.75,
                },
                {
                    "cell": {"signature": "classification", "method": "classify", "batch_size": 11},
                    "requests": 1,
                    "answered": 0,
                    "first_s": 12.0,
                    "median_s": 12.0,
                    "cold_first_s": None,
                    "warm_first_s": None,
                    "steady_s": None,
                    "is_steady": None,
                    "graph_builds": None,
                    "xla_compilations": None,
                    "warm_first_sent_s": None,
                },
            ],
            "requests": [
                {
                    "cell": {"signature": "predict", "method": "predict", "batch_size": 10},
                    "code": "OK",
                    "message": "",
                    "latency_s": 0.0125,
                    "sent_s": 2.5,
                },
                {
                    "cell": {"signature": "predict", "method": "predict", "batch_size": 10},
                    "code": "OK",
                    "message": "",
                    "latency_s": 0.5,
                    "sent_s": None,
                },
                {
                    "cell": {"signature": "classification", "method": "classify", "batch_size": 11},
                    "code": "INTERNAL",
                    "message": "No.",
                    "latency_s": 12.0,
                    "sent_s": None,
                },
            ],
            "determinism": None,
            "expected": None,
            "baseline": None,
            "load": {
                "overall": {
                    "cell": None,
                    "requests": 21,
                    "p50_s": 0.25,
                    "p90_s": 0.5,
                    "p99_s": 0.75,
                    "max_s": 1.0,
                    "over": [8],
                    "over_since_sent": [9],
                    "intervals": [{"percentile": 99, "low_s": 0.625, "high_s": None}],
                    "intervals_since_sent": [{"percentile": 50, "low_s": 0.125, "high_s": 0.375}],
                    "curve": [{"percentile": 99.5, "seconds": 0.875, "low_s": 0.625, "high_s": None}],
                },
                "cells": [
                    {
                        "cell": {"signature": "predict", "method": "predict", "batch_size": 10},
                        "requests": 22,
                        "p50_s": 0.0,
                        "p90_s": 0.0,
                        "p99_s": 0.0,
                        "max_s": 0.0,
                        "over": [10],
                        "over_since_sent": [11],
                        "intervals": [],
                        "intervals_since_sent": [],
                        "curve": [],
                    }
                ],
                "sent": 60,
                "settling": 23,
                "steady": False,
                "errors": {"INTERNAL": 24},
                "message": "Full.",
                "death": "SIGSEGV",
                "late": 25,
                "dropped": 26,
                "lag_p99_s": 0.125,
                "lag_max_s": 1.125,
                "seconds": 4.0,
                "cells_left_out": 27,
                "points": [{"time_s": 2.125, "requests": 28, "p50_s": 2.25, "p99_s": 2.5, "max_s": 2.75}],
                "baseline": {
                    "overall": {
                        "cell": None,
                        "requests": 29,
                        "p50_s": 0.0,
                        "p90_s": 0.0,
                        "p99_s": 0.0,
                        "max_s": 0.0,
                        "over": [],
                        "over_since_sent": [],
                        "intervals": [],
                        "intervals_since_sent": [],
                        "curve": [],
                    },
                    "cells": [],
                    "sent": 30,
                    "settling": 0,
                    "steady": True,
                    "errors": {},
                    "message": "",
                    "death": None,
                    "late": 0,
                    "dropped": 0,
                    "lag_p99_s": 0.0,
                    "lag_max_s": 0.0,
                    "seconds": 0.0,
                    "cells_left_out": 0,
                    "points": [],
                    "baseline": None,
                    "start_s": None,
                },
                "start_s": 3.5,
            },
            "timeline": {
                "phases": [{"name": "load", "start_s": 0.0, "seconds": 1.5}],
                "memory": [
                    {"time_s": 1.0, "resident_bytes": 91, "anonymous_bytes": 92},
                    {"time_s": 2.0, "resident_bytes": 93, "anonymous_bytes": None},
                ],
            },
            "sizes": {"model": 11, "largest_request": 22, "largest_response": 33},
            "memory_after_load": {"resident_bytes": 71, "anonymous_bytes": 72, "peak_bytes": 73},
            "memory": {
                "after_requests": {"resident_bytes": 74, "anonymous_bytes": None, "peak_bytes": None},
                "at_end": {"resident_bytes": 75, "anonymous_bytes": 76, "peak_bytes": 77},
                "peak_bytes": 78 << 20,
                "requests": 79,
                "growth_bytes_per_1000": 80.5 * (1 << 20),
                "growth_error": 81.5 * (1 << 20),
                "failure": "SIGBUS",
            },
            "robustness": {
                "sent": 44,
                "left": 55,
                "boots": 66,
                "killers": [
                    {
                        "signature": "predict",
                        "method": "predict",
                        "input": "x",
                        "what": "NaN",
                        "request": "{}",
                        "cause": "SIGSEGV",
                        "said": "F",
                    }
                ],
                "lost": ["Gone."],
            },
            "swap": {
                "rate": 20.5,
                "before": _percentiles(87, 0.0),
                "during": _percentiles(88, 0.25),
                "during_p99_since_sent_s": 0.125,
                "failed_before": 89,
                "errors": {"UNAVAILABLE": 90},
                "message": "Gone.",
                "dropped": 91,
                "cells_left_out": 92,
                "answered_s": 1.5,
                "unloaded_s": 2.5,
                "waited_s": 4.5,
                "refused": {"code": "NOT_FOUND", "message": "No file."},
                "death": "SIGFPE",
                "before_bytes": 93,
                "peak_bytes": 94 << 20,
            },
        }
    ],
    "warnings": ["No index."],
    "hints": [{"code": "not-kept", "text": "Keep it."}],
    "run": {
        "started": "2026-01-02",
        "seconds": 85.5,
        "asked": "infraval",
        "system": "Linux",
        "cpus": 86,
        "versions": {"tfx": "1"},
        "stages": [{"name": "trial", "start_s": 87.5, "seconds": 88.5}],
    },
}


def test_the_documented_keys(judged: verdict.Verdict, tmp_path: Path) -> None:
    """Every key with its value; they are only ever added to."""
    files.write(judged, tmp_path)
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert written == as_json(judged) == EXPECTED


def test_a_newer_report_can_be_read(judged: verdict.Verdict) -> None:
    """Keys are added, so a reader passes over those that it does not know; nothing that it knows is lost."""
    newer = as_json(judged) | {"schema_version": 2, "added": 1}
    assert data.Report.model_validate(newer) == data.report(judged).model_copy(update={"schema_version": 2})


def test_people_are_shown_the_end_of_the_servers_log(
    judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why a server crashed is most often in its log; one that did not has none to show."""
    report = data.report(judged)
    terminal.show_report(report)
    shown = capsys.readouterr().out
    assert "    I Adding/updating models." in shown

    report.servers[0].server_log = ""
    terminal.show_report(report)
    assert "server's log" in shown
    assert "server's log" not in capsys.readouterr().out


def test_people_are_shown_what_feeds_each_input(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong guess shows at once."""
    terminal.show_report(data.report(judged))
    assert "images:predict/png by the feature 'image/encoded'" in capsys.readouterr().out


def test_people_are_shown_how_a_server_did_under_load(
    judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """Percentiles that are not steady have a mark; what infraval did not send in time is not hidden."""
    terminal.show_report(data.report(judged))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("latency")]
    assert all(shown in line for shown in ("~250.0 ms", "~500.0 ms", "~750.0 ms", "21 requests", "15/s", "25", "26"))


def test_people_are_shown_how_much_memory_a_server_took(
    judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """In MiB: the peak, and the growth with its error."""
    terminal.show_report(data.report(judged))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memory")]
    assert all(shown in line for shown in ("78 MiB", "80.5", "81.5"))


def test_people_are_shown_warnings(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """They are no reason not to bless; a report of an earlier version has none."""
    terminal.show_report(data.report(judged))
    assert "warning No index.\n" in capsys.readouterr().out
    earlier = {key: value for key, value in as_json(judged).items() if key != "warnings"}
    assert data.Report.model_validate(earlier).warnings == []


def test_people_are_shown_what_answers_were_compared_with(
    judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, and the figures beside the baseline; the report holds all of it."""
    compared = evidence.Compared("predict", options.Method.PREDICT, "y", "float", 8, 1, 24, 2, 0.25, 0.5, ("value",))
    error = evidence.Unanswered("new", options.Method.PREDICT, "INVALID_ARGUMENT", requests=3)
    beside = evidence.Beside(PREDICT, 10, 0.003, 0.002)
    server = judged.servers[0]
    shown = dataclasses.replace(
        server.evidence,
        determinism=evidence.Determinism(True, 17, 4, (compared,), (compared,)),
        expected=evidence.Expected(998, True, 998, 997, (compared,)),
        baseline=evidence.Baseline("d", 30, 20, 8, (beside,), (compared,), (error,), 2, 1.0),
    )
    report = data.report(dataclasses.replace(judged, servers=(dataclasses.replace(server, evidence=shown),)))
    assert data.Report.model_validate_json(report.model_dump_json()) == report
    terminal.show_report(report)
    printed = capsys.readouterr().out
    for said in ("17 requests", "997 of 998", "more", "latency 1.50x", "load 1.50x", "size 1.50x", "0.25", "3 of 8"):
        assert said in printed


def test_people_are_shown_where_the_page_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Elsewhere than on a terminal as plain text; there, a path is a link, and a URI is not."""
    terminal.show_page("some folder/report.html")
    assert capsys.readouterr().out == "page    some folder/report.html\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    terminal.show_page("some folder/report.html")
    assert f"{tmp_path.as_uri()}/some%20folder/report.html\x1b" in capsys.readouterr().out
    terminal.show_page("gs://bucket/report.html")
    assert "\x1b]8" not in capsys.readouterr().out


def test_what_every_format_shows_is_worked_out_once(judged: verdict.Verdict) -> None:
    """The same from a verdict and from a file; none of it is a key."""
    report = data.report(judged)
    (server,) = data.Report.model_validate_json(data.as_json(report)).servers
    assert [cell.warm_ratio for cell in server.cells] == [1.5, None]
    assert server.median_steady_s == 0.001
    assert server.failures == [data.Failures(CLASSIFY, "INTERNAL", "No.", 1)]
    assert set(server.model_dump()) == set(EXPECTED["servers"][0])


def test_people_are_shown_hints(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each; a report of an earlier version has none."""
    terminal.show_report(data.report(judged))
    assert "hint    Keep it.\n" in capsys.readouterr().out
    earlier = {key: value for key, value in as_json(judged).items() if key != "hints"}
    assert data.Report.model_validate(earlier).hints == []


def test_people_are_shown_only_what_failed(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that was skipped is in the report, and not news."""
    skipped = verdict.Finding("warmup", verdict.Status.SKIPPED, ("Nothing to see.",))
    terminal.show_report(data.report(dataclasses.replace(judged, servers=(_server("1", FAILED, skipped),))))
    shown = capsys.readouterr().out
    assert "  responses: 1 of 3 requests failed" in shown
    assert "Nothing to see." not in shown


def test_what_was_not_measured_is_null() -> None:
    """A model that never loaded, with no examples; the keys are there all the same."""
    boot = evidence.Boot(_server("1").evidence.server, evidence.Late(2.0))
    shown = evidence.Evidence(boot, tries=1, requests=0, warmup=evidence.Warmup())
    bare = as_json(verdict.Verdict((verdict.ServerVerdict(shown, ()),), "ab" * 32, evidence.Warmup()))
    assert set(bare) == set(EXPECTED)
    (server,) = bare["servers"]
    assert set(server) == set(EXPECTED["servers"][0])
    assert (server["load_time_s"], server["cold_load_time_s"], server["records_replayed"]) == (None, None, None)
    assert bare["examples"] is None
    assert server["requests"] == server["cells"] == []


def test_every_server_is_listed_alike(judged: verdict.Verdict) -> None:
    """One that fails the model fails it for all, and each reason says whose it is."""
    first, second = _server("1", FAILED), _server("2")
    both = dataclasses.replace(judged, servers=(second, first))

    both_as_json = as_json(both)
    assert both_as_json["verdict"] == "NOT_BLESSED"
    assert [(each["verdict"], each["server"]["image"]) for each in both_as_json["servers"]] == [
        ("BLESSED", "x:2"),
        ("NOT_BLESSED", "x:1"),
    ]
    assert set(both_as_json["servers"][0]) == set(both_as_json["servers"][1])
    assert data.reasons(both) == ["x:1: 1 of 3 requests failed"]
    assert data.reasons(judged) == ["1 of 3 requests failed"]
    assert not both.blessed
    assert dataclasses.replace(judged, servers=(second, second)).blessed


def test_the_published_schema_is_that_of_the_code() -> None:
    """`infraval report --schema > docs/reference/report.schema.json` brings it up to date."""
    published = Path(__file__).parents[2] / "docs" / "reference" / "report.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == data.schema()


HOSTILE = "a\x1b[31mred\x1b]52;c;aGk=\x07\r\nBLESSED\u202e[bold]" + "x" * 100_000
NAMES = {
    "signature",
    "version",
    "name",
    "image",
    "image_id",
    "image_digest",
    "platform",
    "message",
    "reasons",
    "warnings",
    "text",
}


def _with_hostile_strings(value: Any, key: str = "") -> Any:
    """The same JSON value, in which every string that a model, a server or a file controls is hostile."""
    if isinstance(value, dict):
        return {name: _with_hostile_strings(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_hostile_strings(item, key) for item in value]
    return HOSTILE if key in NAMES | {"server_log"} and isinstance(value, str) else value


def _is_safe(shown: str) -> bool:
    lines = shown.split("\n")
    return all(line.isprintable() and len(line) < 2100 for line in lines) and "BLESSED" not in lines


@pytest.mark.parametrize("keys", [NAMES, {"server_log"}])
def test_no_string_of_a_report_reaches_the_terminal_as_it_is(
    keys: set[str], judged: verdict.Verdict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, versions and messages are escaped and cut, each on its line; JSON keeps them as they are."""
    monkeypatch.setitem(globals(), "NAMES", keys & NAMES)
    hostile = data.Report.model_validate(_with_hostile_strings(as_json(judged)))
    terminal.show_report(hostile)
    shown = capsys.readouterr().out
    assert "\\x1b[31mred" in shown
    assert _is_safe(shown.replace("NOT_BLESSED\n", "", 1))
    assert data.Report.model_validate_json(hostile.model_dump_json()) == hostile


def test_no_name_in_a_model_reaches_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The same of an inspection: signatures, inputs, outputs and what the warmup file asks for."""
    sides = {side: {HOSTILE: "float[?]"} for side in ("inputs", "outputs", "composite")}
    signature = {"method": "predict", "method_name": HOSTILE, "defaults": [], "constants": [], **sides}
    cell = {"signature": HOSTILE, "method": "predict", "batch_size": 1, "records": 1}
    terminal.show_inspection({"signatures": {HOSTILE: signature}, "warmup": {"records": 1, "cells": [cell]}})
    shown = capsys.readouterr().out
    assert shown.count("\\x1b[31mred") == 5
    assert _is_safe(shown)


def test_no_name_reaches_the_terminal_by_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """What is told of a model while it is judged."""
    with terminal.progress() as tell:
        tell(f"Left out: {HOSTILE}")
    shown = capsys.readouterr().err
    assert shown.startswith("infraval: Left out: a\\x1b[31mred")
    assert _is_safe(shown)


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What rich takes for one, of any width."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


COLOR = re.compile(r"\x1b\[[0-9;]*?(?:3[0-7]|4[0-7]|9[0-7]|38;)[0-9;]*m")


def test_colors_are_shown_unless_no_color_is_set(
    judged: verdict.Verdict, on_a_terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """See no-color.org; the words are there either way."""
    for no_color in ("", "1"):
        on_a_terminal.setenv("NO_COLOR", no_color)
        terminal.show_report(data.report(judged))
        shown = capsys.readouterr().out
        assert bool(COLOR.search(shown)) == (not no_color)
        assert "failed" in shown


@pytest.mark.usefixtures("on_a_terminal")
def test_a_terminal_keeps_the_time_of_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each that has ended, in order; while one goes on, a bar says how far it is."""
    with terminal.progress() as tell:
        tell("Staging the model")
        tell("Sending requests: 300")
        tell("Sending requests: 150 of 300")
        tell(f"Left out: {HOSTILE}")
    shown = capsys.readouterr().err
    lines = re.findall(r"(\d+\.\d) s  (.*)", shown)
    assert [text.split("\\")[0].strip() for _, text in lines] == [
        "Staging the model",
        "Sending requests: 300",
        "Left out: a",
    ]
    assert "\x1b[31m" + "red" not in shown


def test_elsewhere_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And of how far it is, few."""
    with terminal.progress() as tell:
        for sentence in ("Staging the model", "Sending requests: 300", *(f"Sending: {n} of 300" for n in range(300))):
            tell(sentence)
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("infraval: ") for line in lines[:3]] == [
        "Staging the model",
        "Sending requests: 300",
        "Sending: 0 of 300",
    ]
    assert len(lines) < 30


def test_gates_are_listed_with_figures_and_bars(judged: verdict.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that judged."""
    report = data.report(judged)
    findings = [
        verdict.Finding("load_time", verdict.Status.PASSED, (), 0.5, 2.0, "s"),
        verdict.Finding("size", verdict.Status.SKIPPED, ("Off.",)),
    ]
    report.servers[0].findings[:] = findings
    terminal.show_report(report)
    shown = capsys.readouterr().out
    (row,) = (line.split() for line in shown.splitlines() if "load_time" in line)
    assert row == ["load_time", "✓", "passed", "500", "ms", "2.00", "s"]
    assert not any(line.split()[:1] == ["size"] for line in shown.splitlines())
