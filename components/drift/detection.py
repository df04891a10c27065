"""Scores columns with Evidently and tells real drift from what chance alone would give."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.descriptors import DESCRIPTORS, Descriptor
from components.drift.texts import Side
from components.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
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
        reference_mean, current_mean: means of both sides, in the descriptor's own unit.
        effect: the difference of means in standard deviations of the reference.
    """

    descriptor: Descriptor
    score: float
    chance: float
    limit: float
    drifted: bool
    reference_mean: float
    current_mean: float
    effect: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One side against another.

    Attributes:
        reference, current: the measured texts.
        columns: one entry per descriptor, the furthest moved first.
        unit: what chance was reckoned over: 'documents' or 'texts'.
        falling: whether a smaller score means more drift, as with p-values.
    """

    reference: Side
    current: Side
    columns: Sequence[ColumnDrift]
    unit: str
    falling: bool

    @property
    def drifted(self) -> list[ColumnDrift]:
        """The columns that moved."""
        return [column for column in self.columns if column.drifted]

    @property
    def share(self) -> float:
        """Share of the columns that moved."""
        return len(self.drifted) / len(self.columns)


def compare(
    sides: Mapping[str, tuple[Side, Side]],
    method: str,
    threshold: float,
    details: Path,
    by_document: Sequence[str] = (),
) -> dict[str, Comparison]:
    """Compares sides column by column.

    A column has drifted if its score passes the threshold and also what chance would give. Chance
    is measured: the texts are divided anew at random, 199 times, each column's score is taken
    relative to its own mean over the divisions, and the most extreme column of each division is
    kept; 5% of the divisions lie beyond the limit. So the false alarms of a whole comparison stay
    near 5% for any method and any number of texts; with 64 samples and no limit but a Wasserstein
    threshold of 0.1, chance alone would raise an alarm nearly always.

    Args:
        sides: name of the comparison -> reference and current side.
        method: one of Evidently's drift methods for numbers.
        threshold: of the score; as in Evidently, p-values fall below it, distances rise above.
        details: where Evidently's own page is written.
        by_document: comparisons in which whole documents are divided, not single texts, because
            the texts of a document resemble each other.

    Raises:
        ConfigError: Evidently has no such method for numbers.
    """
    # Evidently reads it whenever it would send something; set before it is imported.
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        # Statistical tests warn of ties, of bounded p-values and of constant columns.
        warnings.simplefilter("ignore")
        score, falling = _scorer(method)
        chances = {
            name: _chances(*pair, score, falling, _whole_documents(pair, name in by_document))
            for name, pair in sides.items()
        }
        limits = {
            name: [
                min(threshold, chance) if falling else max(threshold, chance) for chance in found
            ]
            for name, found in chances.items()
        }
        scores = _report(sides, method, limits, details)
    return {
        name: Comparison(
            *pair,
            _columns(pair, scores[name], chances[name], limits[name], falling),
            "documents" if _whole_documents(pair, name in by_document) else "texts",
            falling,
        )
        for name, pair in sides.items()
    }


_Score = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], float]


def _scorer(method: str) -> tuple[_Score, bool]:
    """Evidently's method as a function of two arrays, and whether its score falls with drift."""
    import numpy as np
    import pandas as pd
    from evidently.legacy.calculations.stattests import registry
    from evidently.legacy.core import ColumnType

    numeric = ColumnType.Numerical
    try:
        test = registry.get_registered_stattest(method, numeric)
    except ValueError:  # Evidently's own errors for unknown and unsuitable methods.
        known = registry._registered_stat_tests
        accepted = ", ".join(sorted(name for name in known if numeric in known[name]))
        raise ConfigError(
            f"drift.method: no such method for numbers. Received: {method!r}. Accepted: {accepted}"
        ) from None

    def score(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
        if np.ptp(reference) == 0 and np.array_equal(np.unique(reference), np.unique(current)):
            return 1.0 if falling else 0.0  # The same constant on both sides is no drift.
        pair = {"reference_data": pd.Series(reference), "current_data": pd.Series(current)}
        return float(test(**pair, feature_type=numeric, threshold=None).drift_score)

    falling = False
    near = np.random.default_rng(0).normal(size=(2, 200))
    falling = score(near[0], near[1]) > score(near[0], near[1] + 5)
    return score, falling


def _report(
    sides: Mapping[str, tuple[Side, Side]],
    method: str,
    limits: Mapping[str, Sequence[float]],
    details: Path,
) -> dict[str, list[float]]:
    """Runs Evidently once over all comparisons, each column with its limit; saves its page."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    named = [(name, column) for name in sides for column in DESCRIPTORS]
    titles = [f"{name}: {column.label}" for name, column in named]
    definition = DataDefinition(numerical_columns=titles)

    def dataset(place: int) -> Any:
        # The comparisons have different numbers of texts; Evidently leaves out the padding.
        frames = [pd.DataFrame(pair[place].values) for pair in sides.values()]
        frame = pd.concat(frames, axis=1)
        frame.columns = pd.Index(titles)
        return Dataset.from_pandas(frame, data_definition=definition)

    bounds = [limit for name in sides for limit in limits[name]]
    metrics = [
        ValueDrift(column=title, method=method, threshold=bound)
        for title, bound in zip(titles, bounds, strict=True)
    ]
    result = Report(metrics).run(current_data=dataset(1), reference_data=dataset(0))
    result.save_html(str(details))
    values = [float(metric["value"]) for metric in result.dict()["metrics"]]
    count = len(DESCRIPTORS)
    return {name: values[place * count : (place + 1) * count] for place, name in enumerate(sides)}


def _whole_documents(pair: tuple[Side, Side], wanted: bool) -> bool:
    """Whether documents are divided whole; too few of them cannot be told apart from chance."""
    return wanted and min(len(set(side.documents)) for side in pair) >= _FEWEST_DOCUMENTS


def _columns(
    pair: tuple[Side, Side],
    scores: Sequence[float],
    chances: Sequence[float],
    limits: Sequence[float],
    falling: bool,
) -> list[ColumnDrift]:
    """The columns with their verdicts, the furthest moved first."""
    columns = []
    for place, descriptor in enumerate(DESCRIPTORS):
        before, after = (side.values[:, place] for side in pair)
        means = float(before.mean()), float(after.mean())
        deviation = float(before.std()) or float(after.std()) or 1.0
        score, limit = scores[place], limits[place]
        # A score that is no number counts as drift: what cannot be measured is no good news.
        drifted = not (score >= limit if falling else score <= limit)
        effect = (means[1] - means[0]) / deviation
        columns.append(
            ColumnDrift(descriptor, score, chances[place], limit, drifted, *means, effect)
        )
    return sorted(columns, key=lambda column: (not column.drifted, -abs(column.effect)))


def _chances(
    reference: Side, current: Side, score: _Score, falling: bool, by_document: bool
) -> list[float]:
    """For each column the score that chance passes; in 5% of divisions some column does."""
    import numpy as np

    parts = [side.values[:_ROWS_DIVIDED] for side in (reference, current)]
    values = np.concatenate(parts)
    groups, units, taken = np.arange(len(values)), len(values), len(parts[0])
    if by_document:
        owners = [side.documents[:_ROWS_DIVIDED] for side in (reference, current)]
        names, groups = np.unique(owners[0] + owners[1], return_inverse=True)
        units, taken = len(names), min(len(set(owners[0])), len(names) - 1)
    generator = np.random.default_rng(0)
    found = np.empty((DIVISIONS, values.shape[1]))
    for division in found:
        chosen = np.zeros(units, bool)
        chosen[generator.permutation(units)[:taken]] = True
        rows = chosen[groups]
        division[:] = [score(column[rows], column[~rows]) for column in values.T]
    strength = -np.log10(np.clip(found, 1e-300, 1.0)) if falling else found
    usual = np.maximum(strength.mean(axis=0), 1e-12)
    # Counting the division that was found among the random ones makes the rate exact.
    rank = int(np.ceil((1 - FALSE_ALARMS) * (DIVISIONS + 1))) - 1
    limits = np.sort((strength / usual).max(axis=1))[rank] * usual
    return [float(limit) for limit in (10.0**-limits if falling else limits)]
