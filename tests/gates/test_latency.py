"""Bars of latency and of the load time, on evidence made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from infraval import errors, evidence, gates, options
from infraval.gates.latency import Latency
from infraval.gates.load_time import LoadTime
from infraval.percentile_bars import Interval
from infraval.verdict import Finding, Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
CELL = options.Cell("s", options.Method.PREDICT, 4)


def latencies(requests: int, over: int, since_sent: int | None = None, cell: options.Cell | None = None) -> Any:
    """Of a load with one bar; p99 is 20 ms if more than 1 % was over it, else 5 ms."""
    p99_s = 0.02 if over * 100 > requests else 0.005
    counts = {"over": (over,), "over_since_sent": (over if since_sent is None else since_sent,)}
    return evidence.Latencies(cell, requests, 0.001, 0.002, p99_s, 0.03, **counts)


def judge(load: evidence.Load | None, **asked: Any) -> Finding:
    """Against a bar of 10 ms."""
    shown = evidence.Evidence(evidence.Boot(SERVER), 1, 2, evidence.Warmup(), load=load)
    return Latency(options.LatencyGate(p99_ms=10.0, **asked)).judge(shown)


@pytest.mark.parametrize(
    ("found", "status", "figure"),
    [
        (latencies(299, 0), Status.PASSED, 5.0),
        (latencies(298, 0), Status.UNDECIDED, 5.0),
        (latencies(299, 1), Status.UNDECIDED, 5.0),
        (latencies(299, 20), Status.FAILED, 20.0),
        (latencies(299, 20, since_sent=0), Status.UNDECIDED, 20.0),  # the machine was too busy to send in time
        (latencies(0, 0), Status.UNDECIDED, None),
    ],
)
def test_a_bar_is_decided_by_counts(found: evidence.Latencies, status: Status, figure: float | None) -> None:
    """In milliseconds; infraval's own lag never fails a model."""
    finding = judge(evidence.Load(found, sent=400))
    assert (finding.status, finding.figure, finding.bar if figure else 10.0) == (status, figure, 10.0)
    assert bool(finding.reasons) is (status is not Status.PASSED)


@pytest.mark.parametrize(
    "trouble",
    [
        {"errors": {"RESOURCE_EXHAUSTED": 2}, "message": "Full."},
        {"death": "SIGSEGV", "errors": {"UNAVAILABLE": 1}},
        {"dropped": 7},
    ],
)
def test_trouble_under_load_fails_whatever_the_latency(trouble: dict[str, Any]) -> None:
    """Each with its reason."""
    finding = judge(evidence.Load(latencies(299, 0), sent=400, **trouble), rate=100.0)
    assert finding.status is Status.FAILED
    assert len(finding.reasons) == len(trouble.keys() - {"message"})


def test_only_what_the_bars_are_for_is_judged() -> None:
    """A slow cell among many requests, overall and by cell."""
    slow = latencies(299, 20, cell=CELL)
    load = evidence.Load(latencies(299_000, 20), cells=(slow, latencies(299, 0, cell=CELL)))
    assert judge(load).status is Status.PASSED
    assert judge(load, per="cell").status is Status.FAILED
    many = dataclasses.replace(load, cells=(slow,) * 30)
    assert len(judge(many, per="cell").reasons) < 10


def test_unsteady_latencies_are_named() -> None:
    """They do not change the status."""
    finding = judge(evidence.Load(latencies(299, 0), steady=False))
    assert finding.status is Status.PASSED
    assert finding.reasons


def percentiles(
    cell: options.Cell | None, low_s: float, high_s: float | None, since_sent: tuple[float, float] | None = None
) -> evidence.Latencies:
    """Of 500 requests, with an interval of p99 and another one without infraval's lag."""
    own = (Interval(99, *(since_sent or (low_s, high_s))),)
    return evidence.Latencies(cell, 500, 0.001, 0.002, high_s or 0.01, 0.1, (), (), (Interval(99, low_s, high_s),), own)


def beside(one: evidence.Load, other: evidence.Load | None, **asked: Any) -> Finding:
    """Against a bar of twice the baseline's."""
    asked = {"p99_ratio": 2.0} | asked
    shown = evidence.Evidence(
        evidence.Boot(SERVER), 1, 2, evidence.Warmup(), load=dataclasses.replace(one, baseline=other)
    )
    return Latency(options.LatencyGate(**asked)).judge(shown)


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ((0.008, 0.012), (0.006, 0.010), Status.PASSED),
        ((0.008, 0.013), (0.006, 0.010), Status.UNDECIDED),
        ((0.021, 0.030), (0.006, 0.010), Status.FAILED),
        ((0.020, 0.030), (0.006, 0.010), Status.UNDECIDED),
        ((0.008, None), (0.006, 0.010), Status.UNDECIDED),
        ((0.500, 0.600), (0.006, None), Status.UNDECIDED),
        ((0.008, 0.012, (0.021, 0.030)), (0.006, 0.010), Status.UNDECIDED),  # infraval's own lag hides the difference
        ((0.021, 0.030, (0.008, 0.012)), (0.006, 0.010), Status.UNDECIDED),  # and here it makes it
    ],
)
def test_a_ratio_needs_a_bound_on_both_sides(one: Any, other: Any, status: Status) -> None:
    """Neither percentile is known exactly; a cell of its own is judged as all together are."""
    for cell, per in ((None, "overall"), (CELL, "cell")):
        ours, theirs = percentiles(cell, *one), percentiles(cell, *other)
        loads = [evidence.Load(each, cells=(dataclasses.replace(each, cell=CELL),)) for each in (ours, theirs)]
        finding = beside(*loads, per=per)
        assert (finding.status, finding.unit, finding.bar) == (status, "x", 2.0)
        assert finding.figure == pytest.approx(ours.p99_s / theirs.p99_s)
        assert bool(finding.reasons) is (status is not Status.PASSED)


def test_what_the_baseline_cannot_do_is_no_fault_of_the_model() -> None:
    """Undecided: it was not there, failed, fell behind the rate or lacks a cell."""
    good, new = percentiles(CELL, 0.008, 0.012), percentiles(dataclasses.replace(CELL, batch_size=8), 9.0, 9.5)
    one = evidence.Load(dataclasses.replace(good, cell=None), cells=(good,), sent=500)
    two = dataclasses.replace(one, cells=(good, new))
    assert beside(one, one).status is Status.PASSED
    for other in (
        None,
        evidence.Load(evidence.Latencies(None)),
        dataclasses.replace(one, errors={"UNAVAILABLE": 1}),
        dataclasses.replace(one, dropped=3),
    ):
        assert beside(one, other).status is Status.UNDECIDED
    assert beside(two, one).status is Status.UNDECIDED
    assert beside(two, one, per="cell").status is Status.PASSED
    assert beside(dataclasses.replace(one, errors={"UNAVAILABLE": 1}), one).status is Status.FAILED


def test_without_a_load_there_is_nothing_to_judge() -> None:
    """Another gate says why."""
    assert judge(None).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("warm_s", "cold_s", "records", "asked", "status", "figure"),
    [
        (2.0, None, 1, {"max_s": 3.0}, Status.PASSED, 2.0),
        (4.0, None, 1, {"max_s": 3.0}, Status.FAILED, 4.0),
        (4.0, 1.0, 1, {"cold_max_s": 3.0}, Status.PASSED, 1.0),
        (2.0, 4.0, 1, {"max_s": 3.0, "cold_max_s": 3.0}, Status.FAILED, 4.0),
        (2.0, None, 1, {"cold_max_s": 3.0}, Status.UNDECIDED, None),
        (2.0, None, 0, {"cold_max_s": 3.0}, Status.PASSED, 2.0),  # it has no warmup file, so it was booted cold
        (4.0, None, 1, {"max_s": 3.0, "cold_max_s": 3.0}, Status.FAILED, 4.0),
        (None, None, 1, {"max_s": 3.0}, Status.SKIPPED, None),
    ],
)
def test_load_time(
    warm_s: float | None,
    cold_s: float | None,
    records: int,
    asked: dict[str, Any],
    status: Status,
    figure: float | None,
) -> None:
    """In seconds, with the warmup file and without it."""
    cold = None if cold_s is None else evidence.Boot(SERVER, load_time_s=cold_s)
    shown = evidence.Evidence(
        evidence.Boot(SERVER, load_time_s=warm_s), 1, 2, evidence.Warmup(records=records), cold=cold
    )
    finding = LoadTime(options.LoadTimeGate(**asked)).judge(shown)
    assert (finding.status, finding.figure) == (status, figure)
    assert bool(finding.reasons) is (status is not Status.PASSED)


@pytest.mark.parametrize(
    "asked",
    [
        {"latency": {"enabled": True}},
        {"latency": {"rate": 10.0}},
        {"latency": {"p99_ratio": 0.0}},
        {"latency": {"p99_ms": 10.0, "rate": 10.0, "concurrency": 2}},
        {"latency": {"p99_ms": 10.0, "arrivals": "constant"}},
        {"latency": {"p99_ms": 0.0}},
        {"load_time": {"enabled": True}},
    ],
)
def test_options_that_say_nothing_to_judge_are_refused(asked: dict[str, Any]) -> None:
    """Before anything is started."""
    with pytest.raises(errors.OptionError):
        options.GateOptions(**asked)


def test_both_gates_are_off_until_a_bar_is_set() -> None:
    """Any option of a gate turns it on."""
    assert not {"latency", "load_time"} & {gate.name for gate in gates.GATES}
    chosen = gates.choose(options.GateOptions(latency={"p99_ms": 10}, load_time={"max_s": 5}))
    assert [gate.name for gate in chosen][-2:] == ["latency", "load_time"]


def test_a_ratio_without_a_baseline_is_refused() -> None:
    """Each by its name."""
    with pytest.raises(errors.OptionError, match=r"gates\.latency\.p90_ratio"):
        options.Job(model="m", gates={"latency": {"p90_ratio": 2}})
    assert options.Job(model="m", baseline="b", gates={"latency": {"p90_ratio": 2}}).on("latency")
