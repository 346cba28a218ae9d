"""Decides from counts whether a percentile of latency stays below a bar, by exact binomial bounds.

The percentile p is below the bar if more than the share p of all requests is. Of n independent requests, each is over
the bar with some unknown probability; the percentile is over the bar if that is 1 - p or more. How likely the observed
count is at exactly 1 - p is a sum of binomial terms, without any assumption about the shape of the distribution. MLPerf
LoadGen's early stopping decides the same way: 299 requests of which none is over decide a 99th percentile at 95 %.

The confidence is that of one look at the counts. Who looks again and again until the bar is decided is wrong more
often, so looks must be few. With ten looks, each at twice the number, a model whose 99th percentile is exactly at the
bar passes in one run of seven; one with twice as many requests over the bar in hardly any.
"""

from __future__ import annotations

import enum
import math

CONFIDENCE = 0.95

_NEGLIGIBLE = 1e-17
"""Terms below this share of their sum no longer change it."""


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
