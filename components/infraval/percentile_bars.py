"""Decides whether a percentile of latency stays below a bar, or below a multiple of another one, by exact bounds.

The percentile p is below the bar if more than the share p of all requests is. Of n independent requests, each is over
the bar with some unknown probability; the percentile is over the bar if that is 1 - p or more. How likely the observed
count is at exactly 1 - p is a sum of binomial terms, without any assumption about the shape of the distribution. MLPerf
LoadGen's early stopping decides the same way: 299 requests of which none is over decide a 99th percentile at 95 %.

The confidence is that of one look at the counts. Who looks again and again until the bar is decided is wrong more
often, so looks must be few. With ten looks, each at twice the number, a model whose 99th percentile is exactly at the
bar passes in one run of seven; one with twice as many requests over the bar in hardly any.

For two percentiles beside each other, each gets an interval from order statistics: between which of the sorted requests
it is follows from the same binomial terms. Each of its two ends is wrong with a probability of at most 2.5 %, so a
decision that needs one end of each interval is wrong with one of at most 5 %.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable

CONFIDENCE = 0.95

_NEGLIGIBLE = 1e-17
"""Terms below this share of their sum no longer change it."""

_MOST_TIMES = 10_000
"""How many times the requests are said to be needed, at most: the model is at the bar."""


class Decision(enum.Enum):
    """What the counts say about a bar."""

    BELOW = "below"
    OVER = "over"
    UNDECIDED = "undecided"


def decide(requests: int, over: int, percentile: float, confidence: float = CONFIDENCE) -> Decision:
    """Whether the percentile is below the bar, if `over` of so many requests took longer than the bar.

    Args:
      requests: how many there were, at least 0.
      over: how many of them were over the bar.
      percentile: between 0 and 1, such as 0.99.
      confidence: how sure a decision must be, between 0.5 and 1.
    """
    if at_most(over, requests, 1 - percentile) <= 1 - confidence:
        return Decision.BELOW
    if at_least(over, requests, 1 - percentile) <= 1 - confidence:
        return Decision.OVER
    return Decision.UNDECIDED


def more_needed(requests: int, over: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """How many more requests, all below the bar, would decide that the percentile is below it; 0 if it is decided.

    Args and counts are those of `decide`.
    """
    if decide(requests, over, percentile, confidence) is not Decision.UNDECIDED:
        return 0
    share = 1 - percentile
    # The probability falls with every request that is below the bar.
    step = 1
    while at_most(over, requests + step, share) > 1 - confidence:
        step *= 2
    lowest, highest = step // 2, step
    while highest - lowest > 1:
        middle = (lowest + highest) // 2
        if at_most(over, requests + middle, share) > 1 - confidence:
            lowest = middle
        else:
            highest = middle
    return highest


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where a percentile is, with a confidence of 95 %, in seconds.

    Attributes:
      percentile: such as 99.
      low_s: it is not below this; 0 if the requests do not tell.
      high_s: nor above this; None if the requests do not tell.
    """

    percentile: int
    low_s: float = 0.0
    high_s: float | None = None


def ranks(requests: int, percentile: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Between which of the requests, sorted by latency and counted from 1, the percentile is.

    Args:
      requests: how many there were, at least 0.
      percentile: between 0 and 1, such as 0.99.
      confidence: that it is neither below the one nor above the other.

    Returns:
      Both ranks; 0 and `requests + 1` stand for no bound.
    """
    chance = (1 - confidence) / 2
    # The request of that rank is above the percentile if fewer are below it: less likely, the lower its rank.
    lowest = _first(requests + 1, lambda rank: at_most(rank, requests, percentile) > chance)
    # It is below the percentile if at least so many are: less likely, the higher its rank.
    highest = _first(requests + 1, lambda rank: at_least(rank, requests, percentile) <= chance)
    return min(lowest, requests), highest


def _first(end: int, holds: Callable[[int], bool]) -> int:
    """The first number below `end` for which something holds that also holds for all larger ones; `end` if none."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def decide_ratio(one: Interval, other: Interval, bar: float) -> Decision:
    """Whether one percentile is at most so many times another one."""
    if one.high_s is not None and one.high_s <= bar * other.low_s:
        return Decision.BELOW
    if other.high_s is not None and one.low_s > bar * other.high_s:
        return Decision.OVER
    return Decision.UNDECIDED


def more_needed_for_ratio(requests: int, one: Interval, other: Interval, bar: float) -> int:
    """About how many more requests to each would decide the ratio; 0 if it is decided.

    At least as many as give the percentile an upper bound. Beyond, intervals are taken to shrink with the square root
    of the number, around where they are, on the scale of logarithms.

    Args:
      requests: how many there were, of the one with fewer.
      one: the percentile.
      other: what it is compared with.
      bar: the ratio.
    """
    if decide_ratio(one, other, bar) is not Decision.UNDECIDED:
        return 0
    lowest = least_for_interval(one.percentile / 100) - requests
    if one.high_s is None or other.high_s is None or not one.low_s or not other.low_s:
        return max(1, lowest)
    widths = math.log(one.high_s / one.low_s) + math.log(other.high_s / other.low_s)
    middle = (math.log(one.high_s * one.low_s) - math.log(other.high_s * other.low_s)) / 2
    distance = abs(math.log(bar) - middle)
    # The ends that decide are half of both widths away from the middle.
    factor = min((widths / 2 / distance) ** 2, _MOST_TIMES) if distance else _MOST_TIMES
    return max(1, lowest, math.ceil(requests * (factor - 1)))


def least_for_interval(percentile: float) -> int:
    """How many requests give a percentile an upper bound: as many as cannot all be below it by chance."""
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(percentile))


def at_most(count: int, trials: int, probability: float) -> float:
    """The probability of `count` successes or fewer in so many independent trials, each with that probability."""
    if count >= trials:
        return 1.0
    if count < 0:
        return 0.0
    if count >= trials * probability:
        return max(0.0, 1 - _tail(count + 1, trials, probability, 1))
    return _tail(count, trials, probability, -1)


def at_least(count: int, trials: int, probability: float) -> float:
    """The probability of `count` successes or more."""
    if count <= 0:
        return 1.0
    if count > trials:
        return 0.0
    if count <= trials * probability:
        return max(0.0, 1 - _tail(count - 1, trials, probability, -1))
    return _tail(count, trials, probability, 1)


def _tail(start: int, trials: int, probability: float, step: int) -> float:
    """The sum of the binomial terms from `start` on in one direction, in which they must become smaller."""
    odds = probability / (1 - probability)
    term = math.exp(
        math.lgamma(trials + 1)
        - math.lgamma(start + 1)
        - math.lgamma(trials - start + 1)
        + start * math.log(probability)
        + (trials - start) * math.log1p(-probability)
    )
    total, count = 0.0, start
    while 0 <= count <= trials and term > _NEGLIGIBLE * total:
        total += term
        if step > 0:
            term *= (trials - count) / (count + 1) * odds
        else:
            term *= count / (trials - count + 1) / odds
        count += step
    return min(total, 1.0)
