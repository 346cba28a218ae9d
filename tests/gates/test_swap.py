"""The gate `swap`: failed requests, latency, time, memory, and what never happened."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from infraval import evidence, options, verdict
from infraval.gates.swap import Swap
from infraval.verdict import Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
MIB = 1 << 20
GOOD = evidence.Swap(
    rate=20.0,
    before=evidence.Latencies(None, 100, p99_s=0.010),
    during=evidence.Latencies(None, 60, p99_s=0.030),
    during_p99_since_sent_s=0.030,
    answered_s=1.5,
    unloaded_s=0.25,
    waited_s=1.75,
    before_bytes=200 * MIB,
    peak_bytes=300 * MIB,
)


def judged(swap: evidence.Swap | None = GOOD, **asked: Any) -> verdict.Finding:
    """What the gate says of such a swap."""
    shown = evidence.Evidence(evidence.Boot(SERVER), tries=1, requests=3, warmup=evidence.Warmup(), swap=swap)
    return Swap(options.SwapGate(**asked)).judge(shown)


def test_a_swap_at_every_bar_passes() -> None:
    """Its figure is the number of failed requests."""
    bars = {"p99_ms": 30, "p99_ratio": 3.0, "max_s": 1.5, "peak_bytes": "300m"}
    assert judged(**bars) == judged() == verdict.Finding("swap", Status.PASSED, (), 0, 0, "requests")


@pytest.mark.parametrize(
    ("bar", "figure", "unit"),
    [
        ({"p99_ms": 29.5}, 30.0, "ms"),
        ({"p99_ratio": 2.5}, 3.0, "x"),
        ({"max_s": 1.4}, 1.5, "s"),
        ({"peak_bytes": 299 * MIB}, 300 * MIB, "bytes"),
    ],
)
def test_a_swap_above_one_bar_fails_with_that_figure(bar: dict[str, Any], figure: float, unit: str) -> None:
    """For one reason, which names the option."""
    finding = judged(**bar)
    ((name, value),) = bar.items()
    assert (finding.status, finding.figure, finding.bar) == (Status.FAILED, pytest.approx(figure), value)
    assert finding.unit == unit
    (reason,) = finding.reasons
    assert f"gates.swap.{name}" in reason


def test_requests_that_fail_or_are_dropped_fail_it() -> None:
    """Unless so many may; what a server says is one line."""
    bad = dataclasses.replace(GOOD, errors={"UNAVAILABLE": 2}, dropped=1, message="Not\nfound")
    finding = judged(bad)
    assert (finding.status, finding.figure, finding.bar, finding.unit) == (Status.FAILED, 3, 0, "requests")
    assert "2 UNAVAILABLE" in finding.reasons[0]
    assert "\n" not in finding.reasons[0]
    assert judged(bad, max_failed=3).status is Status.PASSED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"death": "SIGSEGV"}, "SIGSEGV"),
        ({"answered_s": None, "unloaded_s": None, "refused": evidence.Refused("NOT_FOUND", "Gone.")}, "NOT_FOUND"),
        ({"answered_s": None, "unloaded_s": None, "waited_s": 300.0}, "300 s"),
        ({"unloaded_s": None, "waited_s": 31.5}, "30 s"),
    ],
    ids=["dead", "refused", "never answered", "both stay"],
)
def test_a_swap_that_does_not_come_to_its_end_fails(changes: dict[str, Any], said: str) -> None:
    """Although no request failed."""
    finding = judged(dataclasses.replace(GOOD, **changes))
    assert finding.status is Status.FAILED
    (reason,) = finding.reasons
    assert said in reason


def test_the_lag_of_infraval_alone_fails_no_model() -> None:
    """What was late before it was sent does not count if that makes the difference."""
    finding = judged(dataclasses.replace(GOOD, during_p99_since_sent_s=0.020), p99_ms=25)
    assert finding.status is Status.PASSED


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"during": evidence.Latencies(None, 19, p99_s=9.0)}, {"p99_ms": 1}),
        ({"before": evidence.Latencies(None, 19, p99_s=9.0)}, {"p99_ratio": 1}),
        ({"failed_before": 1}, {}),
        ({"peak_bytes": None}, {"peak_bytes": 1}),
    ],
)
def test_evidence_that_is_not_enough_is_undecided(changes: dict[str, Any], asked: dict[str, Any]) -> None:
    """Too few requests, a baseline that fails by itself, and unknown memory."""
    finding = judged(dataclasses.replace(GOOD, **changes), **asked)
    assert finding.status is Status.UNDECIDED
    assert len(finding.reasons) == 1


def test_without_a_swap_it_is_skipped() -> None:
    """The model failed before."""
    assert judged(None).status is Status.SKIPPED
