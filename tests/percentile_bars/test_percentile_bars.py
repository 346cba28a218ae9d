"""Exact binomial bounds for percentile bars."""

from __future__ import annotations

import fractions
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import percentile_bars
from infraval.percentile_bars import Decision

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
