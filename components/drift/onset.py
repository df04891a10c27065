"""Since when a measure has been elsewhere: the current era, cut into slices of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.drift.scoring import Method

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICES = 12
_FEWEST = 50
_DRAWS = 99
_MOST_ROWS = 2000

Slice = tuple[str, "NDArray[Any]"]


def slices(times: Sequence[str]) -> list[Slice]:
    """Cuts rows into at most twelve slices of time, with as many rows each as may be.

    Rows of one day stay together.

    Args:
        times: of each row, a date as ISO 8601; '' where unknown.

    Returns:
        The first date of each slice, and the places of its rows; at least 50 of them. Nothing
        where there are too few rows or dates for two.
    """
    import numpy as np

    known = np.array([place for place, time in enumerate(times) if time], np.int64)
    order = known[np.argsort([times[place] for place in known], kind="stable")]
    size = max(len(order) // SLICES, _FEWEST)
    found: list[Slice] = []
    start = 0
    while len(order) - start >= _FEWEST:
        end = min(start + size, len(order))
        while end < len(order) and times[order[end]] == times[order[end - 1]]:
            end += 1
        if len(order) - end < _FEWEST:
            end = len(order)
        found.append((times[order[start]], order[start:end]))
        start = end
    return found if len(found) > 1 else []


def onset(
    method: Method,
    threshold: float,
    before: NDArray[Any],
    after: NDArray[Any],
    parts: Sequence[Slice],
) -> str | None:
    """The first date of the slices that lie elsewhere, up to the last one without a gap.

    A slice lies elsewhere if its score passes the threshold and also what 99 random draws of as
    many reference rows give against the rest of them.

    Args:
        method, threshold: of the measure.
        before: the reference's values, without missing ones.
        after: the current side's, in the places that `parts` names; missing ones are not finite.
        parts: see `slices`.

    Returns:
        The date; None where the newest slice does not lie elsewhere, or nothing can be told.
    """
    import numpy as np

    if not parts or len(before) < 2 * _FEWEST:
        return None
    draws = np.random.default_rng(0)
    pool = before[draws.permutation(len(before))[:_MOST_ROWS]]
    sign = -1.0 if method.falling else 1.0
    limits: dict[int, float] = {}

    def limit(rows: int) -> float:
        """What chance gives `rows` rows, as a strength that grows with drift."""
        if rows not in limits:
            strengths = []
            for _ in range(_DRAWS):
                mixed = draws.permutation(pool)
                strengths.append(sign * method.score(mixed[rows:], mixed[:rows]))
            limits[rows] = max(sign * threshold, *strengths)
        return limits[rows]

    since = None
    for first, places in reversed(parts):
        values = after[places]
        if not method.categorical:
            values = values[np.isfinite(values)]
        values = values[: len(pool) // 2]
        if len(values) < _FEWEST:
            break
        # Slices hold nearly the same number of rows, so a few limits serve them all.
        if not sign * method.score(pool, values) > limit(round(len(values), -1)):
            break
        since = first
    return since
