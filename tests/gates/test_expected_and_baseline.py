"""The gates `expected` and `baseline` on evidence made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import evidence, options
from infraval.gates.baseline import Baseline, figures
from infraval.gates.expected import Expected
from infraval.verdict import Finding, Status

SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)
PREDICT = options.Method.PREDICT
SAME = evidence.Compared("s", PREDICT, "y", "float", responses=8, values=24, rows=8)
OTHER = evidence.Compared("s", PREDICT, "y", "float", 8, 3, 24, 5, 0.25, 0.5, ("value",), 8, 2)
SHAPE = evidence.Compared("s", PREDICT, "y", "float", 8, 8, 24, 24, kinds=("shape",))
STRINGS = evidence.Compared("s", PREDICT, "z", "string", 8, 1, 10, 3, kinds=("value",))
ERROR = evidence.Unanswered("s", PREDICT, "INVALID_ARGUMENT", "No such signature.", 2)
CELL = options.Cell("s", PREDICT, 1)
BESIDE = evidence.Beside(CELL, 50, p50_s=0.003, baseline_p50_s=0.002, p90_s=0.006, baseline_p90_s=0.003)
COMPARISON = evidence.Baseline("d", 300, 200, 8, (BESIDE,), (OTHER, STRINGS), (), 0, 0.5, evidence.Memory(4))
MEMORY = evidence.Memory(7)


def shown(**collected: Any) -> evidence.Evidence:
    """Evidence of a model that was loaded in a second, into seven bytes."""
    return evidence.Evidence(
        evidence.Boot(SERVER, load_time_s=1.0, memory=MEMORY), 1, 1, evidence.Warmup(), **collected
    )


def expect(*compared: evidence.Compared, equal: int = 8, unanswered: tuple[evidence.Unanswered, ...] = ()) -> Finding:
    """What `expected` says of eight records."""
    answered = 8 - sum(each.requests for each in unanswered)
    return Expected().judge(shown(expected=evidence.Expected(8, False, answered, equal, compared, unanswered)))


def test_answers_as_recorded_pass() -> None:
    """All of all; without any, there is nothing to judge."""
    assert expect(SAME) == Finding("expected", Status.PASSED, (), 8, 8, "responses")
    assert Expected().judge(shown()).status is Status.SKIPPED


def test_other_answers_than_recorded_fail() -> None:
    """The reason says in which output, how many and by how much; so does an error."""
    finding = expect(OTHER, equal=5)
    assert (finding.status, finding.figure) == (Status.FAILED, 5)
    for said in ("'y'", "3 of 8", "5 of 24", "0.25"):
        assert said in finding.reasons[0]
    assert "INVALID_ARGUMENT" in expect(SAME, equal=6, unanswered=(ERROR,)).reasons[0]


def test_a_server_that_ends_before_all_is_answered_fails() -> None:
    """What was not sent is not as recorded."""
    finding = Expected().judge(shown(expected=evidence.Expected(8, False, 5, 5, (SAME,))))
    assert finding.failed
    assert "3 of 8" in finding.reasons[0]


def beside(found: evidence.Baseline = COMPARISON, **bars: Any) -> Finding:
    """What `baseline` says with those bars."""
    return Baseline(options.BaselineGate(**bars)).judge(shown(baseline=found))


def test_without_bars_nothing_fails() -> None:
    """The figure is the ratio of the median latencies; without a baseline, there is nothing to judge."""
    assert beside() == Finding("baseline", Status.PASSED, (), pytest.approx(1.5), None, "x")
    assert Baseline(options.BaselineGate()).judge(shown()).status is Status.SKIPPED


EXACT = {
    "p50_ratio": 1.5,
    "p90_ratio": 2.0,
    "load_time_ratio": 2.0,
    "memory_ratio": 1.75,
    "size_ratio": 1.5,
    "max_difference": 0.25,
    "changed_class_share": 0.25,
    "changed_string_share": 0.3,
}


@pytest.mark.parametrize("name", EXACT)
def test_each_bar_fails_by_itself(name: str) -> None:
    """Just below its figure, and not just above it; the reason names it."""
    assert figures(COMPARISON, 1.0, MEMORY, 0) == pytest.approx(EXACT)
    assert beside(**{name: EXACT[name] * 1.001}).status is Status.PASSED
    finding = beside(**{name: EXACT[name] * 0.999})
    assert (finding.status, finding.figure) == (Status.FAILED, pytest.approx(EXACT[name]))
    assert finding.bar == pytest.approx(EXACT[name], rel=0.01)
    (reason,) = finding.reasons
    assert f"gates.baseline.{name}" in reason


@given(st.dictionaries(st.sampled_from(sorted(EXACT)), st.floats(0, 10)))
def test_a_model_fails_if_any_figure_is_above_its_bar(bars: dict[str, float]) -> None:
    """With a reason for each, and the figure that is shown is one of these."""
    finding = beside(**bars)
    above = [name for name, bar in bars.items() if figures(COMPARISON, 1.0, MEMORY, 0)[name] > bar]  # type: ignore[operator]
    assert finding.failed == bool(above)
    if above:
        assert finding.bar in [bars[name] for name in above]


def test_outputs_that_cannot_be_compared_fail_with_a_bar_on_the_difference_only() -> None:
    """A new output may be what the new model is for."""
    other = dataclasses.replace(COMPARISON, compared=(SHAPE,))
    assert beside(other).status is Status.PASSED
    assert beside(other, max_difference=10).failed


def test_what_could_not_be_measured_is_undecided() -> None:
    """Only with a bar on it; the errors of the baseline are told."""
    few = dataclasses.replace(COMPARISON, latencies=(dataclasses.replace(BESIDE, p90_s=None, baseline_p90_s=None),))
    assert beside(few, p50_ratio=2).status is Status.PASSED
    assert beside(few, p90_ratio=2).status is Status.UNDECIDED
    none = evidence.Baseline("d", 300, 200, 2, unanswered=(ERROR,), baseline_load_time_s=0.5)
    assert beside(none).status is Status.PASSED
    finding = beside(none, p50_ratio=2)
    assert finding.status is Status.UNDECIDED
    assert "INVALID_ARGUMENT" in "".join(finding.reasons)
    assert beside(none, p50_ratio=2, size_ratio=1.1).failed
    assert beside(none, memory_ratio=2).status is Status.UNDECIDED


@pytest.mark.parametrize(("records", "of_baseline", "status"), [(3, 5, Status.PASSED), (3, 0, Status.UNDECIDED)])
def test_a_load_with_a_warmup_is_not_compared_with_one_without(records: int, of_baseline: int, status: Status) -> None:
    """The warmup takes longer than the load, and memory."""
    found = dataclasses.replace(COMPARISON, baseline_warmup_records=of_baseline)
    collected = dataclasses.replace(shown(baseline=found), warmup=evidence.Warmup(records))
    for bars in ({"load_time_ratio": 2.5}, {"memory_ratio": 2.5}):
        assert Baseline(options.BaselineGate(**bars)).judge(collected).status is status


def test_nothing_is_a_multiple_of_zero() -> None:
    """A clock that saw no time pass on the baseline has measured nothing, whoever asks."""
    timed = evidence.Beside(CELL, 50, p50_s=0.003, baseline_p50_s=0.0, p90_s=0.006, baseline_p90_s=None)
    assert (timed.p50_ratio, timed.p90_ratio) == (None, None)
    found = dataclasses.replace(COMPARISON, latencies=(timed,))
    finding = Baseline(options.BaselineGate(p50_ratio=1.5)).judge(shown(baseline=found))
    assert finding.status is Status.UNDECIDED
