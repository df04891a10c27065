"""What scores chance alone gives: both sides are divided anew at random, many times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from components.drift.extremes import moments, most_extreme
from components.drift.pooled import is_quick, pooled
from components.drift.sides import Side, has_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.drift.scoring import Scorer

# The false-alarm rate of a whole report: all comparisons, all columns and classifiers together.
# It is less than the 5% that a report may have, because at that rate every other 200 reports would
# have more than ten.
FALSE_ALARMS = 0.03
# So many that the rate can be shared out among four comparisons with a classifier each.
DIVISIONS = 299
# Rows of a side that are divided at most; texts where whole documents are.
ROWS_DIVIDED = 1000
# The same where all methods are quick, see `components.drift.pooled`.
MOST_ROWS_DIVIDED = 4000
TEXTS_DIVIDED = 2000
# Fewer documents on a side cannot be told apart from chance.
FEWEST_DOCUMENTS = 8


def share_of_alarms(comparisons: int, families: int) -> float:
    """The false-alarm rate that one family of tests may have, so that the report keeps its own.

    By Bonferroni's inequality the rates of all add up to `FALSE_ALARMS` at most, whatever depends
    on what.

    Args:
        comparisons: in the report.
        families: in one comparison: its columns, and its classifier.
    """
    return FALSE_ALARMS / max(comparisons, 1) / max(families, 1)


def rank_of(alarms: float) -> int:
    """Which of the sorted divisions is passed by chance in this share of the cases at most.

    The division that was found counts as one of them, which makes the rate exact (Phipson and
    Smyth 2010, "Permutation p-values should never be zero").
    """
    # A little less, or a rounding error would make it one more.
    return min(math.ceil((1 - alarms) * (DIVISIONS + 1) - 1e-9), DIVISIONS) - 1


@dataclasses.dataclass(frozen=True)
class First:
    """The first rows of a side: a sample of it, because sides come in the order of digests."""

    side: Side
    most: int

    @property
    def descriptors(self) -> Sequence[Any]:
        return self.side.descriptors

    @property
    def columns(self) -> Sequence[NDArray[Any]]:
        return [column[: self.most] for column in self.side.columns]

    @property
    def owners(self) -> Sequence[str]:
        return self.side.owners[: self.most]

    @property
    def times(self) -> Sequence[str]:
        return self.side.times[: self.most]

    @property
    def features(self) -> NDArray[np.float64] | None:
        features = self.side.features
        return None if features is None else features[: self.most]

    @property
    def rows(self) -> int:
        return min(self.side.rows, self.most)


def by_documents(pair: tuple[Side, Side]) -> bool:
    """Whether both sides have documents enough to be divided whole."""
    return min(len(set(side.owners)) for side in pair) >= FEWEST_DOCUMENTS


def divisions(
    rows: tuple[int, int],
    owners: tuple[Sequence[str], Sequence[str]] | None,
    gaps: Sequence[NDArray[np.bool_]] = (),
) -> Iterator[list[NDArray[np.bool_]]]:
    """Divides the rows of both sides anew, `DIVISIONS` times.

    Args:
        rows: of the reference and of the current side.
        owners: of each row its document, where documents are divided whole; None for single rows.
        gaps: for columns that lack values bool [all rows], which rows have one. Where single rows
            are divided, such a column keeps as many values on either side as it has: three values
            against a thousand stay as far from each other by chance as three.

    Yields:
        bool [all rows], which of them now belong to the reference; then the same for each of
        `gaps`.
    """
    import numpy as np

    units, taken = sum(rows), rows[0]
    groups = np.arange(units)
    if owners is not None:
        names, groups = np.unique([*owners[0], *owners[1]], return_inverse=True)
        units, taken = len(names), min(len(set(owners[0])), len(names) - 1)
    generator = np.random.default_rng(0)
    for _ in range(DIVISIONS):
        # The places that units have in a random order; the first ones are the reference.
        order = np.empty(units, np.int64)
        order[generator.permutation(units)] = np.arange(units)
        whole = (order < taken)[groups]
        found = [whole]
        for known in gaps:
            if owners is not None:
                found.append(whole)
                continue
            places = np.flatnonzero(known)
            first = places[np.argsort(order[places])][: int(known[: rows[0]].sum())]
            found.append(np.zeros(len(whole), bool))
            found[-1][first] = True
        yield found


def limits(pair: tuple[Side, Side], scorer: Scorer, alarms: float, whole: bool) -> list[float]:
    """For each column the score that chance passes; in `alarms` of divisions some column does.

    Each column's score is taken by its own mean, deviation and skewness over the divisions, and
    the most extreme column of each division is kept (Westfall and Young 1993, "Resampling-based
    multiple testing"): columns of many small categories hardly vary, heavy tails vary a lot, and
    without this the wildest column would set the limit of all.

    Args:
        pair: reference and current side.
        scorer: chooses the methods.
        alarms: the false-alarm rate of all columns together.
        whole: whether documents are divided whole.
    """
    import numpy as np

    descriptors = pair[0].descriptors
    methods = [scorer.chosen(descriptor)[0] for descriptor in descriptors]
    most_rows = MOST_ROWS_DIVIDED if all(map(is_quick, methods)) else ROWS_DIVIDED
    parts = [First(side, TEXTS_DIVIDED if whole else most_rows) for side in pair]
    columns = [np.concatenate(both) for both in zip(*(part.columns for part in parts), strict=True)]
    owners = (parts[0].owners, parts[1].owners) if whole else None
    known = [
        has_value(descriptor, column)
        for descriptor, column in zip(descriptors, columns, strict=True)
    ]
    # Which of the divisions a column goes by: the common one, or its own.
    gaps = [place for place, each in enumerate(known) if not each.all()]
    goes_by = [gaps.index(place) + 1 if place in gaps else 0 for place in range(len(columns))]
    scores = [
        pooled(method, column[each])
        for method, column, each in zip(methods, columns, known, strict=True)
    ]
    found = np.array(
        [
            [
                score(rows[own][each])
                for score, each, own in zip(scores, known, goes_by, strict=True)
            ]
            for rows in divisions(
                (parts[0].rows, parts[1].rows), owners, [known[place] for place in gaps]
            )
        ]
    )
    falling = np.array([method.falling for method in methods])
    strength = np.where(falling, -np.log10(np.clip(found, 1e-300, 1.0)), found)
    most = float(np.sort(most_extreme(strength))[rank_of(alarms)])
    # Where no division could score anything, nothing is known of chance and nothing is limited.
    passed = moments(strength).strength(most if np.isfinite(most) else 0.0)
    return [float(limit) for limit in np.where(falling, 10.0**-passed, passed)]
