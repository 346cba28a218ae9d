"""Exact binomial bounds for percentile bars."""

from __future__ import annotations

import fractions
import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import percentile_bars
from infraval.percentile_bars import Decision, Interval

PERCENTILES = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def summed(counts: range, trials: int, percentile: float) -> float:
    """The probability that so many of the trials are over the bar, in exact arithmetic."""
    over = 1 - fractions.Fraction(str(percentile))
    return float(sum(math.comb(trials, k) * over**k * (1 - over) ** (trials - k) for k in counts))


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    """How many requests there were, and how many were over the bar."""
    requests = draw(st.integers(0, 120))
    return requests, draw(st.integers(0, requests))


@given(counts(), PERCENTILES)
def test_probabilities_are_the_direct_sums(count: tuple[int, int], percentile: float) -> None:
    """In exact arithmetic."""
    requests, over = count
    at_most = percentile_bars.at_most(over, requests, 1 - percentile)
    at_least = percentile_bars.at_least(over, requests, 1 - percentile)
    assert at_most == pytest.approx(summed(range(over + 1), requests, percentile), rel=1e-9, abs=1e-12)
    assert at_least == pytest.approx(summed(range(over, requests + 1), requests, percentile), rel=1e-9, abs=1e-12)


@given(counts(), PERCENTILES)
def test_what_is_needed_is_the_smallest_number_that_decides(count: tuple[int, int], percentile: float) -> None:
    """One fewer does not."""
    requests, over = count
    more = percentile_bars.more_needed(requests, over, percentile)
    if percentile_bars.decide(requests, over, percentile) is not Decision.UNDECIDED:
        assert more == 0
    else:
        assert percentile_bars.decide(requests + more, over, percentile) is Decision.BELOW
        assert percentile_bars.decide(requests + more - 1, over, percentile) is Decision.UNDECIDED


@given(counts(), PERCENTILES)
def test_a_slower_model_is_never_judged_better(count: tuple[int, int], percentile: float) -> None:
    """More requests over the bar never turn into a pass."""
    requests, over = count
    order = [Decision.BELOW, Decision.UNDECIDED, Decision.OVER]
    found = [order.index(percentile_bars.decide(requests, slow, percentile)) for slow in range(over + 1)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("requests", "over", "percentile", "decision"),
    [
        (299, 0, 0.99, Decision.BELOW),
        (298, 0, 0.99, Decision.UNDECIDED),
        (473, 1, 0.99, Decision.BELOW),
        (472, 1, 0.99, Decision.UNDECIDED),
        (628, 2, 0.99, Decision.BELOW),
        (29, 0, 0.9, Decision.BELOW),
        (28, 0, 0.9, Decision.UNDECIDED),
        (5, 0, 0.5, Decision.BELOW),
        (4, 0, 0.5, Decision.UNDECIDED),
        (5, 5, 0.5, Decision.OVER),
        (4, 4, 0.5, Decision.UNDECIDED),
        (1, 1, 0.99, Decision.OVER),
        (10, 1, 0.99, Decision.UNDECIDED),
        (0, 0, 0.99, Decision.UNDECIDED),
    ],
)
def test_golden_decisions(requests: int, over: int, percentile: float, decision: Decision) -> None:
    """The numbers of MLPerf LoadGen's early stopping, where nothing else is said."""
    assert percentile_bars.decide(requests, over, percentile) is decision


@pytest.mark.parametrize(
    ("requests", "over", "percentile", "more"),
    [(0, 0, 0.99, 299), (100, 0, 0.99, 199), (299, 1, 0.99, 174), (0, 0, 0.9, 29), (0, 0, 0.5, 5), (299, 0, 0.99, 0)],
)
def test_golden_needs(requests: int, over: int, percentile: float, more: int) -> None:
    """From nothing, and on the way."""
    assert percentile_bars.more_needed(requests, over, percentile) == more


@pytest.mark.parametrize(
    ("over", "decision"),
    [(9_000, Decision.BELOW), (10_000, Decision.UNDECIDED), (11_000, Decision.OVER), (500_000, Decision.OVER)],
)
def test_a_million_requests(over: int, decision: Decision) -> None:
    """In no time."""
    started_s = time.process_time()
    assert percentile_bars.decide(1_000_000, over, 0.99) is decision
    assert (percentile_bars.more_needed(1_000_000, over, 0.99) > 0) is (decision is Decision.UNDECIDED)
    assert time.process_time() - started_s < 1


def at_or_below(counts: range, trials: int, percentile: float) -> float:
    """The probability that so many of the trials are below the percentile, in exact arithmetic."""
    below, whole = fractions.Fraction(str(percentile)).as_integer_ratio()
    terms = (math.comb(trials, k) * below**k * (whole - below) ** (trials - k) for k in counts)
    return float(fractions.Fraction(sum(terms), whole**trials))


@given(st.integers(0, 400), PERCENTILES)
def test_ranks_are_the_closest_that_exclude_chance(requests: int, percentile: float) -> None:
    """Each end is wrong with 2.5 % at most; one rank further in is not."""
    low, high = percentile_bars.ranks(requests, percentile)
    assert 0 <= low <= high <= requests + 1
    assert at_or_below(range(low), requests, percentile) <= 0.025 + 1e-12
    assert at_or_below(range(low + 1), requests, percentile) > 0.025 - 1e-12
    assert at_or_below(range(high, requests + 1), requests, percentile) <= 0.025 + 1e-12
    assert at_or_below(range(high - 1, requests + 1), requests, percentile) > 0.025 - 1e-12
    assert (high <= requests) == (requests >= percentile_bars.least_for_interval(percentile))


@pytest.mark.parametrize(
    ("requests", "percentile", "ranks"),
    [(0, 0.5, (0, 1)), (5, 0.5, (0, 6)), (6, 0.5, (1, 6)), (100, 0.5, (40, 61)), (367, 0.99, (359, 368))],
)
def test_golden_ranks(requests: int, percentile: float, ranks: tuple[int, int]) -> None:
    """Those of the median are in tables of order statistics."""
    assert percentile_bars.ranks(requests, percentile) == ranks


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    """Of a 99th percentile, bounded or not."""
    low = draw(st.floats(1e-6, 10.0))
    bounds = draw(st.sampled_from([(low, None), (0.0, None), (low, low), (low, low * 1.5)]))
    return Interval(99, *bounds)


@given(intervals(), intervals(), st.floats(0.1, 10.0))
def test_a_ratio_is_decided_by_the_ends_that_are_worst_for_the_decision(
    one: Interval, other: Interval, bar: float
) -> None:
    """All ratios within the intervals are on one side; a larger bar is no harder to pass."""
    decision = percentile_bars.decide_ratio(one, other, bar)
    if decision is Decision.BELOW:
        assert one.high_s is not None
        assert one.high_s <= bar * other.low_s
    if decision is Decision.OVER:
        assert other.high_s is not None
        assert one.low_s > bar * other.high_s
    order = [Decision.OVER, Decision.UNDECIDED, Decision.BELOW]
    assert order.index(percentile_bars.decide_ratio(one, other, 2 * bar)) >= order.index(decision)
    more = percentile_bars.more_needed_for_ratio(1000, one, other, bar)
    assert (more > 0) is (decision is Decision.UNDECIDED)


@pytest.mark.parametrize(("scale", "bar"), [(1.0, 1.3), (1.0, 1.5), (2.0, 1.5), (1.3, 1.2)])
def test_as_many_requests_as_are_said_to_be_needed_decide(scale: float, bar: float) -> None:
    """Exponential latencies, measured without luck: the requests are at their own quantiles."""

    def measured(requests: int, times: float) -> Interval:
        latencies = [-times * math.log1p(-(number + 0.5) / requests) for number in range(requests)]
        low, high = percentile_bars.ranks(requests, 0.99)
        return Interval(99, latencies[low - 1], latencies[high - 1] if high <= requests else None)

    requests = 400
    pair = measured(requests, scale), measured(requests, 1.0)
    assert percentile_bars.decide_ratio(*pair, bar) is Decision.UNDECIDED
    needed = requests + percentile_bars.more_needed_for_ratio(requests, *pair, bar)
    assert needed < 200_000
    pair = measured(2 * needed, scale), measured(2 * needed, 1.0)
    assert percentile_bars.decide_ratio(*pair, bar) is (Decision.OVER if scale > bar else Decision.BELOW)


def test_two_equal_models_are_hardly_ever_told_apart() -> None:
    """No pair of equal ones fails a bar of 1.5; what is at its bar passes or fails in few pairs."""
    chance = random.Random(7)  # noqa: S311 - not a secret

    def measured(times: float) -> Interval:
        latencies = sorted(times * chance.expovariate(1) for _ in range(800))
        low, high = percentile_bars.ranks(800, 0.9)
        return Interval(90, latencies[low - 1], latencies[high - 1])

    same = [percentile_bars.decide_ratio(measured(1.0), measured(1.0), 1.5) for _ in range(200)]
    assert Decision.OVER not in same
    assert Decision.BELOW in same
    at_the_bar = [percentile_bars.decide_ratio(measured(2.0), measured(1.0), 2.0) for _ in range(200)]
    assert at_the_bar.count(Decision.BELOW) <= 10
    assert at_the_bar.count(Decision.OVER) <= 10
