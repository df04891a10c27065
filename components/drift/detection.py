"""Scores columns with Evidently and tells real drift from what chance alone would give."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.chance import TEXTS_DIVIDED, First, by_documents, limits, share_of_alarms
from components.drift.domain import DomainTest, domain_test
from components.drift.onset import onset, slices
from components.drift.options import DriftOptions
from components.drift.scoring import Method, Scorer, present
from components.drift.sides import Descriptor, Side
from components.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    details: Path | None,
    by_document: Sequence[str] = (),
    items: str = "texts",
) -> dict[str, Comparison]:
    """Compares sides column by column, and all columns together.

    A column has drifted if its score passes the threshold and also what chance would give. Chance
    is measured: the rows are divided anew at random, 299 times (see `components.drift.chance`).
    However many comparisons, columns and classifiers there are, a report in which nothing changed
    raises an alarm in 3% of the cases at most; with 64 samples and no limit but a Wasserstein
    threshold of 0.1, chance alone would raise one nearly always.

    Args:
        sides: name of the comparison -> reference and current side, each in an order that is
            none of time or kind, such as that of digests: the first rows stand for all.
        options: methods and thresholds; as in Evidently, p-values fall below a threshold, distances
            rise above it.
        details: where Evidently's own page is written; None for no page, which takes most of the
            time.
        by_document: comparisons in which whole documents are divided, not single texts, because
            the texts of a document resemble each other.
        items: what single rows are called.

    Raises:
        ConfigError: Evidently has no such method, it does not fit the column, or a column that has
            one of its own is not there.
        DataError: a side has no rows, or the sides do not have the same measures.
    """
    for name, pair in sides.items():
        check_alike(name, *pair)
    # Evidently reads it whenever it would send something; set before it is imported.
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        # Statistical tests warn of ties, of bounded p-values and of constant columns.
        warnings.simplefilter("ignore")
        scorer = Scorer(options)
        scorer.check(each for pair in sides.values() for each in pair[0].descriptors)
        whole = {name: name in by_document and by_documents(pair) for name, pair in sides.items()}
        # Documents count, and not their texts: with more texts of the same documents p-values
        # would fall and chance with them, so both are reckoned from as many texts.
        judged = {
            name: (First(pair[0], TEXTS_DIVIDED), First(pair[1], TEXTS_DIVIDED))
            if whole[name]
            else pair
            for name, pair in sides.items()
        }
        chances, told = {}, {}
        for name, pair in judged.items():
            embedded = all(side.features is not None for side in pair)
            alarms = share_of_alarms(len(sides), 1 + embedded)
            chances[name] = limits(pair, scorer, alarms, whole[name])
            told[name] = domain_test(pair[0], pair[1], scorer.domain_threshold, alarms, whole[name])
        passed = {
            name: [
                _limit(*scorer.chosen(descriptor), chance)
                for descriptor, chance in zip(pair[0].descriptors, chances[name], strict=True)
            ]
            for name, pair in judged.items()
        }
        scores = scorer.report(judged, passed, details) if details else scorer.scores(judged)
        return {
            name: Comparison(
                *pair,
                _columns(pair, scorer, scores[name], chances[name], passed[name]),
                "documents" if whole[name] else items,
                told[name],
            )
            for name, pair in sides.items()
        }


def check_alike(name: str, reference: Side, current: Side) -> None:
    """Refuses sides that cannot be compared.

    Raises:
        DataError: a side has no rows, or a measure is on one side only or of another kind there.
    """
    for which, side in (("reference", reference), ("current", current)):
        if not side.rows:
            raise DataError(
                f"{name}: expected rows on both sides. Received: none on the {which} side; choose "
                "a longer window or another era"
            )
    kinds = [
        {each.name: each.categorical for each in side.descriptors} for side in (reference, current)
    ]
    found = {
        "only in the reference": [one for one in kinds[0] if one not in kinds[1]],
        "only in current data": [one for one in kinds[1] if one not in kinds[0]],
        "numbers on one side, categories on the other": [
            one for one in kinds[0] if one in kinds[1] and kinds[0][one] != kinds[1][one]
        ],
    }
    told = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    if told:
        raise DataError(
            f"{name}: expected the same columns of the same types on both sides. Received: "
            f"{'; '.join(told)}"
        )
    if [each.name for each in reference.descriptors] != [each.name for each in current.descriptors]:
        raise ValueError(f"{name}: expected the measures of both sides in one order")


def _limit(method: Method, threshold: float, chance: float) -> float:
    return min(threshold, chance) if method.falling else max(threshold, chance)


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
