"""95% intervals: a cluster bootstrap of ratios, and Wilson's interval for shares.

Paragraphs of one document resemble each other, so whole documents are resampled, not
paragraphs. With few documents a plain percentile interval is too narrow; its percentiles are
moved out as far as Student's t stands from the normal (the expanded percentile interval,
Hesterberg, 2015).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from components.wilson import wilson as interval

Floats = npt.NDArray[np.float64]

_NORMAL = NormalDist()


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; no interval where fewer than two clusters exist."""

    value: float
    low: float | None
    high: float | None
    clusters: int


class ClusterBootstrap:
    """Resamples clusters once, so that every estimate made with it is paired with the others."""

    def __init__(self, clusters: Sequence[str], resamples: int, seed: int) -> None:
        """Args:
        clusters: the cluster of each row, such as its document.
        resamples: how many times the clusters are drawn with replacement.
        seed: of the draws.
        """
        names, self._rows = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
        self.clusters = len(names)
        draws = np.random.default_rng(seed)
        shares = np.full(self.clusters, 1 / max(self.clusters, 1))
        self._weights = draws.multinomial(self.clusters, shares, size=resamples).astype(float)
        self._tail = expanded_tail(self.clusters)

    def ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Estimate:
        """Sum over sum, such as bits over bytes.

        Args:
            numerator, denominator: float [rows].
        """
        above, below = self._sums(numerator), self._sums(denominator)
        return self._estimate(
            float(above.sum() / below.sum()), (self._weights @ above) / (self._weights @ below)
        )

    def exp_ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Estimate:
        """e to the ratio, such as the perplexity from nats over tokens."""
        found = self.ratio(numerator, denominator)
        low = None if found.low is None else math.exp(found.low)
        high = None if found.high is None else math.exp(found.high)
        return Estimate(math.exp(found.value), low, high, found.clusters)

    def _sums(self, values: npt.ArrayLike) -> Floats:
        weights = np.asarray(values, np.float64)
        sums: Floats = np.bincount(self._rows, weights, minlength=self.clusters).astype(float)
        return sums

    def _estimate(self, value: float, resampled: Floats) -> Estimate:
        if self.clusters < 2:
            return Estimate(value, None, None, self.clusters)
        low, high = np.quantile(resampled, [self._tail, 1 - self._tail])
        return Estimate(value, float(low), float(high), self.clusters)


def expanded_tail(clusters: int) -> float:
    """The share to cut from either end of the resampled values for a 95% interval."""
    if clusters < 2:
        return 0.0
    reach = student(clusters - 1) * math.sqrt(clusters / (clusters - 1))
    return _NORMAL.cdf(-reach)


def student(freedom: int) -> float:
    """The 97.5% point of Student's t: exact for 1 and 2, else Cornish and Fisher's series."""
    if freedom == 1:
        return 12.7062047
    if freedom == 2:
        return 4.30265273
    z = _NORMAL.inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def wilson(successes: int, trials: int) -> Estimate:
    """A share with Wilson's score interval, which stays honest at 0 and 1."""
    if trials == 0:
        return Estimate(math.nan, None, None, 0)
    share = successes / trials
    low, high = interval(share, trials, _NORMAL.inv_cdf(0.975))
    return Estimate(share, low, high, trials)


def mean(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    """The mean of independent values with its bootstrap interval."""
    if not values:
        return Estimate(math.nan, None, None, 0)
    rows = [str(place) for place in range(len(values))]
    return ClusterBootstrap(rows, resamples, seed).ratio(values, np.ones(len(values)))
