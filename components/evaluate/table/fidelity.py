"""How alike generated and real rows are: each column's shape, and the trends between pairs.

The definitions are those of SDMetrics' quality report: 1 minus the Kolmogorov-Smirnov distance of
a number, 1 minus the total variation distance of a category; for a pair of numbers the similarity
of correlations, for any other pair that of contingency tables with numbers cut into ten; the
quality is the mean of the mean shape and the mean trend. Other than there, a missing value counts
as a value: below all numbers, or a category of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.evaluate.table.frames import Floats, Frame, is_number


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """Similarities of 0..1, 1 where nothing differs.

    Attributes:
        shapes: float64 [columns].
        trends: float64 [columns, columns], symmetrical; NaN on the diagonal, and where a
            correlation does not exist.
    """

    shapes: Floats
    trends: Floats

    @property
    def column_shapes(self) -> float:
        return float(self.shapes.mean())

    @property
    def pair_trends(self) -> float:
        found = self.trends[~np.isnan(self.trends)]
        return float(found.mean()) if len(found) else 1.0

    @property
    def quality(self) -> float:
        return (self.column_shapes + self.pair_trends) / 2


def fidelity(real: Frame, made: Frame) -> Fidelity:
    """Compares generated rows with real ones.

    Args:
        real, made: rows laid out by the same `Framer`.
    """
    numeric = np.array([is_number(column) for column in real.columns])
    shapes = np.array(
        [
            1 - (_ks(real.values[:, c], made.values[:, c]) if numeric[c] else _tv(real, made, c))
            for c in range(len(numeric))
        ]
    )
    trends = np.full((len(numeric), len(numeric)), np.nan)
    similarity = 1 - np.abs(correlations(real.values) - correlations(made.values)) / 2
    for one in range(len(numeric)):
        for two in range(one):
            both = numeric[one] and numeric[two]
            found = similarity[one, two] if both else _contingency(real, made, one, two)
            trends[one, two] = trends[two, one] = found
    return Fidelity(shapes, trends)


def _ks(first: Floats, second: Floats) -> float:
    first, second = (np.sort(np.nan_to_num(each, nan=-np.inf)) for each in (first, second))
    places = np.concatenate([first, second])
    below = [np.searchsorted(each, places, side="right") / len(each) for each in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _tv(real: Frame, made: Frame, column: int) -> float:
    size = real.sizes[column]
    counts = [np.bincount(each.cells[:, column], minlength=size) for each in (real, made)]
    return float(np.abs(counts[0] / len(real) - counts[1] / len(made)).sum() / 2)


def _contingency(real: Frame, made: Frame, one: int, two: int) -> float:
    width = real.sizes[two]
    counts = [
        np.bincount(
            each.cells[:, one] * width + each.cells[:, two], minlength=real.sizes[one] * width
        )
        for each in (real, made)
    ]
    return float(1 - np.abs(counts[0] / len(real) - counts[1] / len(made)).sum() / 2)


def correlations(values: Floats) -> Floats:
    """Pearson's correlation of every pair of columns over the rows where both are present.

    Args:
        values: float64 [rows, columns], NaN where missing.

    Returns:
        float64 [columns, columns]; NaN where one of the two does not vary.
    """
    present = ~np.isnan(values)
    # Centred first: seconds since 1970 squared would leave no digits for their differences.
    middle = np.nanmean(np.where(present.any(axis=0), values, 0.0), axis=0)
    centred = np.where(present, values - middle, 0.0)
    weights = present.astype(float)
    counts = weights.T @ weights
    sums, squares = centred.T @ weights, (centred**2).T @ weights
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = centred.T @ centred / counts - sums * sums.T / counts**2
        variance = squares / counts - (sums / counts) ** 2
        spread = np.sqrt(variance * variance.T)
        tiny = spread <= 1e-12 * np.maximum(squares / counts, 1e-300)
        return np.where(tiny, np.nan, np.clip(covariance / spread, -1, 1))


Measure = Callable[[Fidelity], float]


def half_samples(
    real: Frame, made: Frame, resamples: int, seed: int, other: Frame | None = None
) -> list[tuple[Fidelity, Fidelity | None]]:
    """Comparisons of halves of both sides, whose spread is that of the whole.

    Half of either side, drawn without replacement, varies about its own mean as the whole varies
    about the truth (Politis and Romano, 1994).

    Args:
        real, made: rows.
        resamples: how many halves.
        seed: of the draws.
        other: rows of another model, of which the same halves are taken.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        rows, places = (generator.permutation(len(e))[: len(e) // 2] for e in (real, made))
        half = real.take(rows)
        beside = fidelity(half, other.take(places)) if other is not None else None
        found.append((fidelity(half, made.take(places)), beside))
    return found


def spread(value: float, halves: npt.ArrayLike) -> tuple[float, float]:
    """The 95% interval of a value from what it was over half samples."""
    found = np.asarray(halves, np.float64)
    low, high = np.quantile(found, [0.025, 0.975]) - found.mean()
    return value + float(low), value + float(high)
