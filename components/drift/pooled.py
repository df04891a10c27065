"""Scores many divisions of the same values: what does not depend on the division is done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.drift.scoring import Method

Divided = Callable[["NDArray[np.bool_]"], float]

# Evidently bins numbers where the reference has more different ones; fewer it counts one by one.
_COUNTED = 20


def is_quick(method: Method) -> bool:
    """Whether divisions are scored here, and not by asking Evidently."""
    return method.name in _OF_COUNTS or (method.name == "wasserstein" and not method.categorical)


def pooled(method: Method, values: NDArray[Any]) -> Divided:
    """A function that scores divisions of values as Evidently scores the two parts.

    Evidently sorts, bins and counts anew for every pair of columns, which is most of its time.
    Its formulas for the methods that people use most are written here for divisions of the same
    values; a test holds them to Evidently's own numbers. Other methods are asked of Evidently.

    Args:
        method: scores.
        values: [rows] of both sides together, without missing ones.

    Returns:
        Takes bool [rows], which of them belong to the reference, and gives the score.
    """
    import numpy as np

    score: Divided | None = None
    if method.name == "wasserstein" and not method.categorical:
        score = _wasserstein(np.asarray(values, np.float64))
    elif method.name in _OF_COUNTS:
        score = _of_counts(method, values)
    elif method.name == "ks":
        score = _kolmogorov(method, np.asarray(values, np.float64))
    if score is None:
        # Any names serve as well as texts, and numbers are quicker.
        same = np.unique(values, return_inverse=True)[1] if method.categorical else values
        return lambda rows: method.score(same[rows], same[~rows])

    def divided(rows: NDArray[np.bool_]) -> float:
        first = int(rows.sum())
        if not first or first == len(rows):
            return 0.0 if not len(rows) else float("nan")
        return score(rows)

    return divided


def _wasserstein(values: NDArray[np.float64]) -> Divided:
    """The area between both distribution functions, in standard deviations of the reference."""
    import numpy as np

    order = np.argsort(values)
    ordered = values[order]
    steps = np.diff(ordered)

    def score(rows: NDArray[np.bool_]) -> float:
        ranked = rows[order]
        below = np.cumsum(ranked)[:-1]
        first = int(rows.sum())
        others = np.arange(1, len(rows)) - below
        area = np.abs(below / first - others / (len(rows) - first)) @ steps
        return float(area / max(float(ordered[ranked].std()), 0.001))

    return score


def _kolmogorov(method: Method, values: NDArray[np.float64]) -> Divided:
    """Evidently's p-value, asked for once for each distance that divisions come to.

    With the same numbers of rows the p-value depends on nothing but how far both distribution
    functions lie apart, and a thousand rows lie only some dozens of distances apart by chance.
    """
    import numpy as np

    order = np.argsort(values)
    ordered = values[order]
    # Among equal values the functions have one height, that after the last of them.
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(values) - 1)
    known: dict[tuple[int, int], float] = {}

    def score(rows: NDArray[np.bool_]) -> float:
        below = np.cumsum(rows[order])[last]
        first = int(below[-1])
        others = last + 1 - below
        # In whole numbers, so that equal distances are equal.
        apart = int(np.abs(below * (len(rows) - first) - others * first).max())
        if (first, apart) not in known:
            known[first, apart] = method.score(values[rows], values[~rows])
        return known[first, apart]

    return score


def _of_counts(method: Method, values: NDArray[Any]) -> Divided:
    """Scores by how many values of each part are in each category or bin."""
    import numpy as np

    distinct, codes = np.unique(values, return_inverse=True)
    by_counts = _OF_COUNTS[method.name]
    if method.categorical or len(distinct) <= _COUNTED:
        return by_counts(codes)
    edges = np.histogram_bin_edges(values, bins="sturges")
    # As numpy's histogram has it, the last bin holds its upper edge.
    binned = by_counts(np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2))

    def score(rows: NDArray[np.bool_]) -> float:
        if np.count_nonzero(np.bincount(codes[rows])) > _COUNTED:
            return binned(rows)
        return method.score(values[rows], values[~rows])

    return score


def _counts(codes: NDArray[np.int64]) -> Callable[[NDArray[np.bool_]], tuple[Any, Any]]:
    import numpy as np

    total = np.bincount(codes)

    def shares(rows: NDArray[np.bool_]) -> tuple[Any, Any]:
        first = np.bincount(codes[rows], minlength=len(total))
        return first / rows.sum(), (total - first) / (len(rows) - rows.sum())

    return shares


def _jensenshannon(codes: NDArray[np.int64]) -> Divided:
    import numpy as np
    from scipy.special import rel_entr  # type: ignore[import-untyped]

    shares = _counts(codes)

    def score(rows: NDArray[np.bool_]) -> float:
        one, two = shares(rows)
        middle = (one + two) / 2
        both = rel_entr(one, middle).sum() + rel_entr(two, middle).sum()
        return float(np.sqrt(max(both, 0.0) / 2))

    return score


def _psi(codes: NDArray[np.int64]) -> Divided:
    """The population stability index; empty bins count as if they held a little."""
    import numpy as np

    shares = _counts(codes)

    def filled(part: NDArray[np.float64]) -> NDArray[np.float64]:
        least = part[part > 0].min()
        return np.where(part > 0, part, least / 10**6 if least <= 0.0001 else 0.0001)

    def score(rows: NDArray[np.bool_]) -> float:
        one, two = map(filled, shares(rows))
        return float(((one - two) * np.log(one / two)).sum())

    return score


_OF_COUNTS = {"jensenshannon": _jensenshannon, "psi": _psi}
