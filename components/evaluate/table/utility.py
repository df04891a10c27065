"""Whether generated rows teach what real rows teach, and whether they can be told from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.intervals import expanded_tail
from components.evaluate.table.frames import Floats, Frame, is_number

_MOST_CATEGORIES = 10
_RESAMPLES = 200
_FOLDS = 3
# Less than this above chance is nothing to take a ratio of.
_SKILL = 0.02


@dataclasses.dataclass(frozen=True)
class Score:
    """A value with its 95% interval by a bootstrap over the rows that were judged."""

    value: float
    low: float
    high: float
    rows: int


@dataclasses.dataclass(frozen=True)
class Utility:
    """What models learn from generated and from real rows.

    Attributes:
        target: the column that they predict.
        measure: 'ROC AUC' or 'R squared'.
        synthetic, real: of models trained on generated and on real rows, judged on held-out rows.
        ratio: skill above chance of the one over that of the other; None where real rows teach
            nothing either.
    """

    target: str
    measure: str
    synthetic: Score
    real: Score
    ratio: Score | None


def choose_target(frame: Frame, wanted: str) -> int | None:
    """The column that is predicted: the one asked for, or as the option says; None without one."""
    if wanted:
        return [column.name for column in frame.columns].index(wanted)
    few = [
        place
        for place, column in enumerate(frame.columns)
        if not is_number(column) and 2 <= frame.sizes[place] - 2 <= _MOST_CATEGORIES
    ]
    numeric = [place for place, column in enumerate(frame.columns) if is_number(column)]
    return few[-1] if few else numeric[-1] if numeric else None


def utility(
    made: Frame, training: Frame, held_out: Frame, target: int, seed: int
) -> Utility | None:
    """Trains on generated and on as many real rows, and judges both on held-out rows (TSTR).

    Gradient-boosted trees (scikit-learn's HistGradientBoosting), which take missing values and
    categories as they are. Train-synthetic-test-real is due to Esteban et al. (2017).

    Returns:
        None where the target has one value only.
    """
    rows = min(len(made), len(training))
    number = is_number(held_out.columns[target])
    judged = held_out.take(np.flatnonzero(~np.isnan(held_out.values[:, target])))
    with _one_thread():
        predictions = [
            _predict(side.take(np.arange(rows)), judged, target, number, seed)
            for side in (made, training)
        ]
    truth = judged.values[:, target]
    score = _r_squared if number else _auc
    if predictions[1] is None or len(np.unique(truth)) < 2:
        return None
    chance = 0.0 if number else 0.5
    real = predictions[1]
    # A generator that gives one value only teaches nothing.
    nothing = np.full_like(real, truth.mean() if number else 1.0 / real.shape[-1])
    synthetic = predictions[0] if predictions[0] is not None else nothing
    draws = _draws(len(truth), seed)

    def scored(predicted: npt.NDArray[Any]) -> Score:
        return _scored(lambda rows: score(truth[rows], predicted[rows]), draws)

    scores = scored(synthetic), scored(real)
    ratio = None
    if scores[1].value - chance > _SKILL:
        ratio = _scored(
            lambda rows: (
                (score(truth[rows], synthetic[rows]) - chance)
                / max(score(truth[rows], real[rows]) - chance, _SKILL)
            ),
            draws,
        )
    name = held_out.columns[target].name
    return Utility(name, "R squared" if number else "ROC AUC", scores[0], scores[1], ratio)


def told_apart(made: Frame, real: Frame, seed: int) -> Score:
    """ROC AUC of trees that tell generated rows from real ones, cross-validated; 0.5 is ideal."""
    rows = min(len(made), len(real))
    sides = [side.take(np.arange(rows)) for side in (real, made)]
    values = np.concatenate([side.values for side in sides])
    truth = np.repeat([0.0, 1.0], rows)
    fold = np.random.default_rng(seed).permutation(2 * rows) % _FOLDS
    chance = np.zeros(2 * rows)
    for left_out in range(_FOLDS):
        inside = fold != left_out
        with _one_thread():
            model = _model(False, made, None, seed).fit(values[inside], truth[inside])
            chance[~inside] = model.predict_proba(values[~inside])[:, 1]
    both = np.stack([1 - chance, chance], 1)
    return _scored(lambda rows: _auc(truth[rows], both[rows]), _draws(2 * rows, seed))


def _predict(
    taught: Frame, judged: Frame, target: int, number: bool, seed: int
) -> npt.NDArray[Any] | None:
    others = [place for place in range(len(taught.columns)) if place != target]
    known = ~np.isnan(taught.values[:, target])
    answers = taught.values[known, target]
    if len(np.unique(answers)) < 2:
        return None
    model = _model(number, taught, target, seed)
    model.fit(taught.values[known][:, others], answers)
    if number:
        return np.asarray(model.predict(judged.values[:, others]))
    classes = taught.sizes[target]
    found = np.zeros((len(judged), classes))
    found[:, model.classes_.astype(int)] = model.predict_proba(judged.values[:, others])
    return found


def _one_thread() -> AbstractContextManager[Any]:
    """Keeps the trees to one thread.

    OpenMP's threads wait for each other in busy loops, which costs most where others use the
    cores too, as they do in a pipeline.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
    return limits


def _model(number: bool, frame: Frame, target: int | None, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    places = [place for place in range(len(frame.columns)) if place != target]
    few = [not is_number(frame.columns[place]) and frame.sizes[place] <= 255 for place in places]
    return kind(max_iter=50, random_state=seed, categorical_features=np.array(few))


def _r_squared(truth: Floats, predicted: Floats) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - predicted) ** 2).sum()) / spread if spread else 0.0


def _auc(truth: Floats, chances: Floats) -> float:
    """One class against the rest, averaged by the classes' shares."""
    labels = np.unique(truth)
    if len(labels) < 2:
        return 0.5
    # Of two classes, each against the other is the same.
    judged = labels[1:] if chances.shape[1] == 2 else labels
    hits = [truth == label for label in judged]
    areas = [_area(hit, chances[:, int(label)]) for hit, label in zip(hits, judged, strict=True)]
    return float(np.average(areas, weights=[hit.sum() for hit in hits]))


def _area(hits: npt.NDArray[np.bool_], chance: Floats) -> float:
    """The area under the curve from ranks (Mann and Whitney, 1947); ties have their mean rank."""
    _, place, counts = np.unique(chance, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ours = int(hits.sum())
    return float((ranks[hits].sum() - ours * (ours + 1) / 2) / (ours * (len(hits) - ours)))


def _draws(rows: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(rows, size=(_RESAMPLES, rows))


def _scored(score: Callable[[npt.NDArray[np.int64]], float], draws: npt.NDArray[np.int64]) -> Score:
    rows = draws.shape[1]
    found = [score(drawn) for drawn in draws]
    tail = expanded_tail(rows)
    low, high = np.quantile(found, [tail, 1 - tail])
    return Score(score(np.arange(rows)), float(low), float(high), rows)
