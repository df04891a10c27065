"""Tells two sides apart with a classifier: drift that no single measure shows."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.drift.chance import FALSE_ALARMS, divisions, rank_of
from components.drift.sides import Descriptor, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# As in Evidently's own model-based test: sides told apart no better than this are taken for alike.
THRESHOLD = 0.55
# Rows of a side that the classifier sees at most.
MOST_ROWS = 1000
_FOLDS = 5
# How strongly the classifier is regularized, as a share of the features' own variance.
_SHRINKAGE = 0.1
_QUANTILES = 10
_MOST_CATEGORIES = 30


@dataclasses.dataclass(frozen=True)
class DomainTest:
    """How well a classifier tells rows of the two sides apart.

    Attributes:
        auc: area under the ROC curve on rows that it was not trained on; 0.5 is chance.
        low, high: 95% interval of it.
        chance: the area that divisions at random hardly ever pass.
        limit: what it had to pass: the chosen threshold, or `chance` where that is more.
        rows: how many of the smaller side were used.
    """

    auc: float
    low: float
    high: float
    chance: float
    limit: float
    rows: int

    @property
    def drifted(self) -> bool:
        """Whether the sides differ."""
        return self.auc > self.limit


def domain_test(
    reference: Side,
    current: Side,
    threshold: float = THRESHOLD,
    alarms: float = FALSE_ALARMS,
    whole: bool = False,
) -> DomainTest | None:
    """Trains a linear classifier to tell the sides apart, cross-validated.

    The area under its ROC curve measures drift of all features together (a classifier two-sample
    test, Lopez-Paz and Oquab 2017). Chance is measured by dividing the same rows at random.

    Args:
        reference, current: the sides; their first rows are used.
        threshold: sides told apart no better than this are taken for alike.
        alarms: the false-alarm rate.
        whole: whether documents are divided whole. Then no document is both learnt from and
            judged, or the classifier would know documents instead of sides.

    Returns:
        None where the sides have no features, or too few rows or documents for the folds.
    """
    if reference.features is None or current.features is None:
        return None
    import numpy as np

    parts = [reference.features[:MOST_ROWS], current.features[:MOST_ROWS]]
    counts = (len(parts[0]), len(parts[1]))
    owners = (reference.owners[: counts[0]], current.owners[: counts[1]]) if whole else None
    units = [len(set(side)) for side in owners] if owners else counts
    fewest = min(counts)
    if min(units) < (_FOLDS if whole else 2 * _FOLDS):
        return None
    features = np.concatenate(parts).astype(np.float64)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
    truth = np.repeat([True, False], counts)
    truths = np.stack([truth, *(rows for (rows,) in divisions(counts, owners))], axis=1)
    found = _areas(features, truths, _folds(features, counts, owners))
    auc, chances = float(found[0]), found[1:]
    chance = float(np.sort(chances)[rank_of(alarms)])
    # Rows of one document say less than as many single ones: then chance varies more.
    error = max(_standard_error(auc, *counts), float(chances.std()) if whole else 0.0)
    low, high = max(auc - 1.96 * error, 0.0), min(auc + 1.96 * error, 1.0)
    return DomainTest(auc, low, high, chance, max(threshold, chance), fewest)


def _folds(
    features: NDArray[np.float64],
    counts: tuple[int, int],
    owners: tuple[Sequence[str], Sequence[str]] | None,
) -> NDArray[np.int64]:
    """The fold of each row; rows of one document share theirs, and so do twins.

    A row that both sides hold, as successive versions of a data set do, would otherwise be learnt
    as one side's and judged as the other's.
    """
    import numpy as np

    if owners is not None:
        _, groups = np.unique([*owners[0], *owners[1]], return_inverse=True)
    else:
        _, same = np.unique(features, axis=0, return_inverse=True)
        sides = np.split(same.ravel(), [counts[0]])
        # The first of a side with the first of the other, and so on: equal rows of few columns
        # would all come into one fold.
        numbered = np.stack([same.ravel(), np.concatenate([_occurrence(one) for one in sides])])
        _, groups = np.unique(numbered, axis=1, return_inverse=True)
    groups = groups.ravel()
    chosen = np.random.default_rng(0).permutation(int(groups.max()) + 1) % _FOLDS
    return np.asarray(chosen[groups])


def _occurrence(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value came before, place by place."""
    import numpy as np

    order = np.argsort(values, kind="stable")
    ordered = values[order]
    place = np.arange(len(values))
    starts = np.maximum.accumulate(np.where(np.diff(ordered, prepend=-1) != 0, place, 0))
    found = np.empty_like(place)
    found[order] = place - starts
    return found


def _areas(
    features: NDArray[np.float64], truths: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Areas under the ROC curve of classifiers, on rows that they did not learn from.

    The classifier is Fisher's linear discriminant with a shrunken covariance (Friedman 1989,
    "Regularized discriminant analysis"), found as a ridge regression on which side a row is of;
    all divisions of the rows share one factorization.

    Args:
        features: [rows, features], standardized.
        truths: [rows, divisions], which side each row is of.
        folds: [rows], in which fold each row is judged.

    Returns:
        [divisions], means over the folds that have rows of both sides.
    """
    import numpy as np
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    sides = truths - truths.mean(axis=0)
    areas = []
    weight = []
    # What a fold adds to these is taken away again, or most rows would be multiplied five times.
    products, moments = features.T @ features, features.T @ sides
    for fold in range(_FOLDS):
        judged = folds == fold
        held, learnt = features[judged], np.count_nonzero(~judged)
        shrunken = products - held.T @ held + _SHRINKAGE * learnt * np.eye(features.shape[1])
        weights = np.linalg.solve(shrunken, moments - held.T @ sides[judged])
        # The area is the share of pairs that the scores rank rightly (Mann and Whitney 1947).
        ranks = rankdata(held @ weights, axis=0)
        positive = truths[judged]
        count = positive.sum(axis=0)
        pairs = count * (len(positive) - count)
        above = (ranks * positive).sum(axis=0) - count * (count + 1) / 2
        areas.append(np.where(pairs, above / np.maximum(pairs, 1), 0.5))
        weight.append(pairs > 0)
    return np.asarray(np.average(areas, axis=0, weights=_some(np.stack(weight))))


def _some(counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Which folds count for each division; all of them where none would."""
    import numpy as np

    return np.where(counted.any(axis=0), counted, True).astype(np.float64)


def _standard_error(auc: float, negatives: int, positives: int) -> float:
    """Of an area under the curve (Hanley and McNeil 1982, "The meaning and use of the area")."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    ) / (positives * negatives)
    return math.sqrt(max(variance, 0.0))


def table_features(
    descriptors: Sequence[Descriptor],
    reference: Sequence[NDArray[Any]],
    current: Sequence[NDArray[Any]],
    most: int = MOST_ROWS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Encodes columns of any kind so that a linear classifier sees the shape of each.

    Numbers fall into one of ten bins between common quantiles, or the bin of missing ones;
    categories into the commonest, or the bin of all others.

    Args:
        descriptors: of the columns.
        reference, current: for each descriptor [rows], as in `Measured`.
        most: rows of a side that are encoded at most, the first ones.

    Returns:
        Both sides as float64 [rows, bins] of 0 and 1.
    """
    import numpy as np

    encoded = []
    rows = min(len(reference[0]), most) if reference else 0
    for descriptor, before, after in zip(descriptors, reference, current, strict=True):
        both = np.concatenate([before[:most], after[:most]])
        codes = _categories(both) if descriptor.categorical else _bins(both)
        encoded.append(np.eye(int(codes.max(initial=0)) + 1)[codes])
    joined = np.concatenate(encoded, axis=1) if encoded else np.zeros((0, 0))
    return joined[:rows], joined[rows:]


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    import numpy as np

    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    codes = np.searchsorted(edges, values, side="right")
    return np.where(known, codes, len(edges) + 1)


def _categories(values: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    common = Counter(values.tolist()).most_common(_MOST_CATEGORIES)
    place = {category: code for code, (category, _) in enumerate(common)}
    return np.array([place.get(value, len(place)) for value in values.tolist()], np.int64)
