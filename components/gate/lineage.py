"""Whether diversity shrinks from version to version, as it does where models learn from models.

Models that are taught on what models wrote lose the tails of the distribution first, and its
variety in the end (Shumailov et al., Nature 2024); where the real data stay in, they do not
(Gerstgrasser et al., 2024). One version beside the next shows little of it, since the noise of a
measurement is wider than the loss of a generation; a line through many shows it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.artifacts import Evaluation, Figure, published_versions
from components.errors import DataError

# Of each modality the figure of diversity, and what real data have of it in the same evaluation.
MEASURES = {
    "distinct_2": "human.distinct_2",
    "recall": "floor.recall",
    "coverage": "floor.coverage",
}
FIGURES = ("lineage.diversity_trend", "lineage.diversity_change")
# Two degrees of freedom: with fewer, the interval of a slope is as good as endless.
FEWEST = 4
# Older ones say nothing about what goes on now.
MOST = 12


@dataclasses.dataclass(frozen=True)
class Generation:
    """The diversity of one version.

    Attributes:
        name: of the version, or 'this model'.
        value: logarithm of its diversity over that of real data.
        deviation: standard error of that.
    """

    name: str
    value: float
    deviation: float


@dataclasses.dataclass(frozen=True)
class Lineage:
    """This model at the end of the versions before it.

    Attributes:
        figures: of `FIGURES`, where there are generations enough.
        not_yet: of `FIGURES`, why they are none so soon.
        measure: which figure of the evaluation it is about; empty where there is none.
        generations: oldest first.
    """

    figures: Mapping[str, Figure]
    not_yet: Mapping[str, str]
    measure: str
    generations: Sequence[Generation]

    def to_json(self) -> dict[str, Any]:
        """What `decision.json` holds."""
        return {
            "measure": self.measure,
            "figures": {name: dataclasses.asdict(one) for name, one in self.figures.items()},
            "not_yet": dict(self.not_yet),
            "generations": [dataclasses.asdict(one) for one in self.generations],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Lineage:
        """Reads what `to_json` gave; empty where a decision has none."""
        return cls(
            {name: Figure(**one) for name, one in content.get("figures", {}).items()},
            content.get("not_yet", {}),
            content.get("measure", ""),
            [Generation(**one) for one in content.get("generations", [])],
        )


def read_lineage(evaluation: Evaluation, champion: Path | None) -> Lineage:
    """Follows the diversity over the published versions up to the champion, then this model.

    Args:
        evaluation: the new model's.
        champion: folder of the published version that it follows, or None.
    """
    own = evaluation.figures()
    measure = next((name for name in MEASURES if name in own), "")
    if not measure:
        return Lineage({}, {}, "", [])
    found = [*_ancestors(champion), ("this model", evaluation)]
    read = [(name, *_read(one, measure)) for name, one in found]
    same = len({digest for _, _, _, digest in read}) == 1
    generations = [
        _generation(name, figure, real, same) for name, figure, real, _ in read if figure and real
    ]
    kept = [one for one in generations if one is not None][-MOST:]
    if len(kept) < FEWEST:
        reason = f"{len(kept)} of the {FEWEST} generations so far that a trend needs"
        return Lineage({}, dict.fromkeys(FIGURES, reason), measure, kept)
    return Lineage(trend(kept, own[measure].label or measure), {}, measure, kept)


def _ancestors(champion: Path | None) -> list[tuple[str, Evaluation]]:
    if champion is None or not champion.name.isdecimal():
        return []
    versions = published_versions(champion.parent.parent, champion.parent.name)
    before = [one for one in versions if one.version <= int(champion.name)]
    return [(f"version {one.version}", one.evaluation()) for one in before[-MOST:]]


def _read(evaluation: Evaluation, measure: str) -> tuple[Figure | None, Figure | None, str]:
    """The measure, that of real data, and what both were measured on."""
    try:
        figures = evaluation.figures()
        digest = str(evaluation.read().get("eval_digest"))
    except (DataError, KeyError, TypeError, AttributeError):
        return None, None, ""  # Published by other means.
    return figures.get(measure), figures.get(MEASURES[measure]), digest


def _generation(name: str, figure: Figure, real: Figure, same: bool) -> Generation | None:
    """One version; None where its figures have no intervals, or are no numbers.

    Args:
        name: what it is called.
        figure: its diversity.
        real: that of real data beside it.
        same: whether all generations were measured on the same data, so that the error of `real`
            is common to them and says nothing about the trend.
    """
    ours, theirs = _logarithm(figure), _logarithm(real)
    if ours is None or theirs is None:
        return None
    deviation = math.hypot(ours[1], 0.0 if same else theirs[1])
    return Generation(name, ours[0] - theirs[0], deviation)


def _logarithm(figure: Figure) -> tuple[float, float] | None:
    """Logarithm and its standard error, by the delta method from the 95% interval."""
    if figure.low is None or figure.high is None:
        return None
    # A share of zero out of n is counted as half a hit.
    value = max(figure.value, 0.5 / (figure.samples + 1))
    deviation = (figure.high - figure.low) / (2 * 1.959964 * value)
    if not (math.isfinite(value) and math.isfinite(deviation) and deviation > 0):
        return None
    return math.log(value), deviation


def trend(generations: Sequence[Generation], label: str) -> dict[str, Figure]:
    """The slope of a line through the generations, with its interval.

    Versions differ by more than the error of measuring them, because training is random too. So
    it is a regression with random effects: the variance between versions by the method of moments
    (Thompson and Sharp, 1999), the interval by Student's t as Knapp and Hartung (2003) have it,
    never narrower than what the measurements' own errors allow.

    Args:
        generations: `FEWEST` or more, oldest first.
        label: what is followed.

    Returns:
        `FIGURES`: change of the logarithm per generation, and the whole change over all of them
        as a share of what was.
    """
    import numpy as np

    from components.evaluate.intervals import student

    y = np.array([one.value for one in generations])
    own = np.array([one.deviation for one in generations]) ** 2
    x = np.stack([np.ones(len(y)), np.arange(len(y))], 1)
    freedom = len(y) - 2

    def fit(variance: Any) -> tuple[Any, Any, float]:
        weights = 1 / variance
        covariance = np.linalg.inv(x.T @ (weights[:, None] * x))
        found = covariance @ (x.T @ (weights * y))
        return found, covariance, float((weights * (y - x @ found) ** 2).sum())

    _, covariance, misfit = fit(own)
    weights = 1 / own
    scale = weights.sum() - np.trace(covariance @ (x.T @ (weights[:, None] ** 2 * x)))
    between = max(0.0, (misfit - freedom) / float(scale))
    line, covariance, misfit = fit(own + between)
    slope = float(line[1])
    reach = student(freedom) * math.sqrt(covariance[1, 1] * max(1.0, misfit / freedom))
    steps, count = freedom + 1, len(generations)
    total, low, high = (math.expm1(steps * one) for one in (slope, slope - reach, slope + reach))
    return {
        FIGURES[0]: Figure(
            slope, slope - reach, slope + reach, count, "per generation", "higher",
            f"Change of diversity per generation (log): {label}",
        ),
        FIGURES[1]: Figure(
            total, low, high, count, "", "higher",
            f"Change of diversity over {count} generations: {label}",
        ),
    }  # fmt: skip
