"""Comparisons that may be looked at after every request without being fooled more often.

A fixed-sample test that is looked at again and again rejects sooner or later. These bounds hold
at all times at once: the probability that the truth is ever outside of them is at most alpha, so
one may stop whenever one likes (anytime validity).

For Bernoulli trials: Robbins, "Statistical methods related to the law of the iterated logarithm",
1970; the beta-binomial mixture of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
nonparametric, nonasymptotic confidence sequences", 2021. For quantiles: the same, inverted, as
Howard and Ramdas, "Sequential estimation of quantiles", 2022, describe.

Observations are taken to be independent. Requests of one caller are not quite, so few callers
with many requests each make the bounds narrower than they should be.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence

# Jeffreys' prior: good for rates near 0 and 1, where error rates are.
_A = _B = 0.5
_STEPS = 60


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_evidence(successes: int, trials: int, rate: float) -> float:
    """Logarithm of the evidence against a rate: a martingale that starts at 1 if it is the truth.

    Ville's inequality: it ever reaches 1/alpha with a probability of at most alpha.

    Args:
        successes: so far.
        trials: so far.
        rate: in [0, 1].
    """
    failures = trials - successes
    if (rate <= 0 and successes) or (rate >= 1 and failures):
        return math.inf
    likelihood = 0.0
    if successes:
        likelihood += successes * math.log(rate)
    if failures:
        likelihood += failures * math.log1p(-rate)
    return _log_beta(_A + successes, _B + failures) - _log_beta(_A, _B) - likelihood


def rate_bounds(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """Bounds of a rate that hold at all times with probability 1 - alpha."""
    if trials == 0:
        return 0.0, 1.0
    seen = successes / trials
    limit = -math.log(alpha)

    def excluded(rate: float) -> bool:
        return log_evidence(successes, trials, rate) >= limit

    low = _boundary(excluded, 0.0, seen) if excluded(0.0) else 0.0
    high = _boundary(excluded, 1.0, seen) if excluded(1.0) else 1.0
    return low, high


def _boundary(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where exclusion ends between a rate that is excluded and one that is not."""
    for _ in range(_STEPS):
        middle = (outside + inside) / 2
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def quantile_bounds(ordered: Sequence[float], quantile: float, alpha: float) -> tuple[float, float]:
    """Bounds of a quantile that hold at all times with probability 1 - alpha.

    At the true quantile q, each value is at most q with probability `quantile`: a value x is
    excluded as soon as the number of values up to x is evidence against that rate.

    Args:
        ordered: what was observed, ascending.
        quantile: in (0, 1).
        alpha: probability of ever being wrong.

    Returns:
        Bounds, 0 and infinity where there is none yet; values are not negative.
    """
    count = len(ordered)
    limit = -math.log(alpha)

    def excluded(below: int) -> bool:
        return log_evidence(below, count, quantile) >= limit

    middle = round(count * quantile)
    # The evidence grows to both sides of the middle.
    low = bisect.bisect_left(range(middle + 1), True, key=lambda k: not excluded(k))
    high = middle + bisect.bisect_left(range(middle, count + 1), True, key=lambda k: excluded(k))
    return (ordered[low - 1] if low else 0.0), (ordered[high - 1] if high <= count else math.inf)
