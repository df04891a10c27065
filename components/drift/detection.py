"""Scores columns with Evidently and tells real drift from what chance alone would give."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.domain import DomainTest, domain_test
from components.drift.onset import onset, slices
from components.drift.options import DriftOptions
from components.drift.scoring import Method, Scorer, present
from components.drift.sides import Descriptor, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The false-alarm rate of a whole comparison, all columns together.
FALSE_ALARMS = 0.05
DIVISIONS = 199
_ROWS_DIVIDED = 1000
_FEWEST_DOCUMENTS = 8


@dataclasses.dataclass(frozen=True)
class ColumnDrift:
    """How one descriptor compares.

    Attributes:
        descriptor: what was measured.
        score: Evidently's, for the chosen method.
        chance: the score that chance alone gives; see `compare`.
        limit: what the score had to pass: the chosen threshold, or `chance` where that is more.
        drifted: whether it did.
        method: Evidently's name of what scored it.
        threshold: the one that was chosen.
        falling: whether a smaller score means more drift, as with p-values.
        reference_mean, current_mean: means of both sides, in the descriptor's own unit; of
            categories, the shares of `category`.
        effect: the difference of means in standard deviations of the reference.
        category: of categories, the one whose share moved most; else empty.
        since: first day from which on it has been elsewhere; None where that cannot be told.
    """

    descriptor: Descriptor
    score: float
    chance: float
    limit: float
    drifted: bool
    method: str
    threshold: float
    falling: bool
    reference_mean: float
    current_mean: float
    effect: float
    category: str = ""
    since: str | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One side against another.

    Attributes:
        reference, current: the measured rows.
        columns: one entry per descriptor, the furthest moved first.
        unit: what chance was reckoned over: 'documents', or what single rows are called.
        domain: how well a classifier tells the sides apart; None where there is no such test.
    """

    reference: Side
    current: Side
    columns: Sequence[ColumnDrift]
    unit: str
    domain: DomainTest | None = None

    @property
    def drifted(self) -> list[ColumnDrift]:
        """The columns that moved."""
        return [column for column in self.columns if column.drifted]

    @property
    def share(self) -> float:
        """Share of the columns that moved."""
        return len(self.drifted) / len(self.columns)

    @property
    def moved(self) -> bool:
        """Whether a column moved, or the classifier tells the sides apart."""
        return bool(self.drifted) or (self.domain is not None and self.domain.drifted)


def compare(
    sides: Mapping[str, tuple[Side, Side]],
    options: DriftOptions,
    details: Path,
    by_document: Sequence[str] = (),
    items: str = "texts",
) -> dict[str, Comparison]:
    """Compares sides column by column.

    A column has drifted if its score passes the threshold and also what chance would give. Chance
    is measured: the rows are divided anew at random, 199 times, each column's score is taken by its
    own mean and deviation over the divisions, and the most extreme column of each division is
    kept; 5% of the divisions lie beyond the limit. So the false alarms of a whole comparison stay
    near 5% for any method and any number of rows; with 64 samples and no limit but a Wasserstein
    threshold of 0.1, chance alone would raise an alarm nearly always.

    Args:
        sides: name of the comparison -> reference and current side.
        options: methods and thresholds; as in Evidently, p-values fall below a threshold, distances
            rise above it.
        details: where Evidently's own page is written.
        by_document: comparisons in which whole documents are divided, not single texts, because
            the texts of a document resemble each other.
        items: what single rows are called.

    Raises:
        ConfigError: Evidently has no such method, or a column that has one of its own is not there.
    """
    # Evidently reads it whenever it would send something; set before it is imported.
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        # Statistical tests warn of ties, of bounded p-values and of constant columns.
        warnings.simplefilter("ignore")
        scorer = Scorer(options)
        scorer.check(each for pair in sides.values() for each in pair[0].descriptors)
        chances = {
            name: _chances(*pair, scorer, _whole_documents(pair, name in by_document))
            for name, pair in sides.items()
        }
        limits = {
            name: [
                _limit(*scorer.chosen(descriptor), chance)
                for descriptor, chance in zip(pair[0].descriptors, chances[name], strict=True)
            ]
            for name, pair in sides.items()
        }
        scores = scorer.report(sides, limits, details)
        return {
            name: Comparison(
                *pair,
                _columns(pair, scorer, scores[name], chances[name], limits[name]),
                "documents" if _whole_documents(pair, name in by_document) else items,
                domain_test(*pair),
            )
            for name, pair in sides.items()
        }


def _limit(method: Method, threshold: float, chance: float) -> float:
    return min(threshold, chance) if method.falling else max(threshold, chance)


def _whole_documents(pair: tuple[Side, Side], wanted: bool) -> bool:
    """Whether documents are divided whole; too few of them cannot be told apart from chance."""
    return wanted and min(len(set(side.owners)) for side in pair) >= _FEWEST_DOCUMENTS


def _columns(
    pair: tuple[Side, Side],
    scorer: Scorer,
    scores: Sequence[float],
    chances: Sequence[float],
    limits: Sequence[float],
) -> list[ColumnDrift]:
    """The columns with their verdicts, the furthest moved first."""
    columns = []
    parts = slices(pair[1].times)
    for place, descriptor in enumerate(pair[0].descriptors):
        before, after = (present(descriptor, side.columns[place]) for side in pair)
        score, limit = scores[place], limits[place]
        method, threshold = scorer.chosen(descriptor)
        # A score that is no number counts as drift: what cannot be measured is no good news.
        drifted = not (score >= limit if method.falling else score <= limit)
        verdict = (descriptor, score, chances[place], limit, drifted)
        judged = (method.name, threshold, method.falling)
        change = _shares if descriptor.categorical else _means
        column = ColumnDrift(*verdict, *judged, *change(before, after))
        if drifted:
            since = onset(method, threshold, before, pair[1].columns[place], parts)
            column = dataclasses.replace(column, since=since)
        columns.append(column)
    return sorted(columns, key=lambda column: (not column.drifted, -abs(column.effect)))


def _means(before: NDArray[Any], after: NDArray[Any]) -> tuple[float, float, float]:
    """Both means, and their difference in standard deviations; NaN for no values."""
    nothing = float("nan")
    means = [float(side.mean()) if len(side) else nothing for side in (before, after)]
    deviations = [float(side.std()) for side in (before, after) if len(side)]
    deviation = next((each for each in deviations if each), 1.0)
    effect = (means[1] - means[0]) / deviation
    return means[0], means[1], effect if effect == effect else 0.0


def _shares(before: NDArray[Any], after: NDArray[Any]) -> tuple[float, float, float, str]:
    """Of the category whose share moved most: both shares, the effect, its name."""
    counts = [Counter(side.tolist()) for side in (before, after)]

    def shares(category: str) -> tuple[float, float]:
        one, two = (
            count[category] / max(len(side), 1)
            for count, side in zip(counts, (before, after), strict=True)
        )
        return one, two

    if not counts[0] and not counts[1]:
        return 0.0, 0.0, 0.0, ""
    names = sorted({*counts[0], *counts[1]}, key=str)
    furthest = max(names, key=lambda name: abs(shares(name)[1] - shares(name)[0]))
    one, two = shares(furthest)
    deviation = (one * (1 - one)) ** 0.5 or (two * (1 - two)) ** 0.5 or 1.0
    return one, two, (two - one) / deviation, str(furthest)


def _chances(reference: Side, current: Side, scorer: Scorer, by_document: bool) -> list[float]:
    """For each column the score that chance passes; in 5% of divisions some column does."""
    import numpy as np

    descriptors = reference.descriptors
    parts = [[each[:_ROWS_DIVIDED] for each in side.columns] for side in (reference, current)]
    columns = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
    taken = min(reference.rows, _ROWS_DIVIDED)
    units = taken + min(current.rows, _ROWS_DIVIDED)
    groups = np.arange(units)
    if by_document:
        owners = [list(side.owners[:_ROWS_DIVIDED]) for side in (reference, current)]
        names, groups = np.unique(owners[0] + owners[1], return_inverse=True)
        units, taken = len(names), min(len(set(owners[0])), len(names) - 1)
    generator = np.random.default_rng(0)
    found = np.empty((DIVISIONS, len(columns)))
    for division in found:
        chosen = np.zeros(units, bool)
        chosen[generator.permutation(units)[:taken]] = True
        rows = chosen[groups]
        division[:] = [
            scorer.score(descriptor, column[rows], column[~rows])
            for descriptor, column in zip(descriptors, columns, strict=True)
        ]
    falling = np.array([scorer.chosen(descriptor)[0].falling for descriptor in descriptors])
    strength = np.where(falling, -np.log10(np.clip(found, 1e-300, 1.0)), found)
    # A division that leaves one side without any value says nothing of that column.
    strength = (
        np.where(np.isnan(strength), 0.0, strength) if _gaps(columns, descriptors) else strength
    )
    # Columns of many small categories hardly vary over divisions, heavy tails vary a lot: each is
    # judged by its own deviation, or the wildest column would set the limit of all.
    usual, deviation = strength.mean(axis=0), np.maximum(strength.std(axis=0), 1e-12)
    # Counting the division that was found among the random ones makes the rate exact.
    rank = int(np.ceil((1 - FALSE_ALARMS) * (DIVISIONS + 1))) - 1
    most = np.sort(((strength - usual) / deviation).max(axis=1))[rank]
    limits = usual + most * deviation
    return [float(limit) for limit in np.where(falling, 10.0**-limits, limits)]


def _gaps(columns: Sequence[NDArray[Any]], descriptors: Sequence[Descriptor]) -> bool:
    """Whether a column has missing values."""
    return any(
        len(present(descriptor, column)) < len(column)
        for descriptor, column in zip(descriptors, columns, strict=True)
    )
