"""Whether generated rows lie closer to training rows than chance would put them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.evaluate.table.frames import Floats, Frame, is_number

ROWS = 1000  # Generated rows that are judged, each against every training row.
_CHUNK = 8
# What stands for a missing number: farther than 1 from any rank, and gaps end at 1.
_MISSING = 3.0

Singles = npt.NDArray[np.float32]


def nearer_to_training(made: Frame, training: Frame, held_out: Frame) -> Floats:
    """For each of the first generated rows, whether its closest real row is a training row.

    Every training row takes part: of a random part only, a copy's original would seldom be in it.

    Returns:
        float64 [rows]: 1 if it is, 0 if it is a held-out row, and where both are equally close
        the share that training rows have among real rows.
    """
    chosen = made.take(np.arange(min(len(made), ROWS)))
    # Ranks are taken among the rows of both sides, or each side would have its own yardstick.
    ranked = np.concatenate([training.values, held_out.values])
    near = [closest(chosen, side, ranked) for side in (training, held_out)]
    even = len(training) / len(ranked)
    return np.where(near[0] < near[1], 1.0, np.where(near[0] > near[1], 0.0, even))


def per_record(share: float, training: int, held_out: int) -> float:
    """How a share of rows nearer to training would be if there were as many held-out rows.

    Real rows are exchangeable to a model that has learnt only their distribution, however well
    or badly: its rows are nearest to a training row as often as training rows are among all.
    Weighing each side by its size puts that at one half, and copies of training rows at one. With
    sides of one size it is the test of Platzer and Reutterer (2021).

    Args:
        share: of the rows whose closest real row is a training row.
        training, held_out: rows of either side.
    """
    weights = share / training, (1 - share) / held_out
    return weights[0] / (weights[0] + weights[1])


def closest(points: Frame, others: Frame, ranked: Floats) -> Floats:
    """Gower's distance (1971) of each row to its closest row among others.

    Numbers differ by the difference of their ranks, categories by 0 or 1, a missing value from
    any other by 1; the distance is the mean over columns.

    Args:
        points, others: rows laid out alike.
        ranked: values of the rows, [rows, columns], among which numbers are ranked.

    Returns:
        float64 [points], of 0..1.
    """
    left, right = (_placed(side, ranked) for side in (points, others))
    found = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        part = left[:, start : start + _CHUNK, None]
        total: Singles = np.zeros((part.shape[1], len(others)), np.float32)
        gaps = np.empty_like(total)
        for column, known in zip(part, right, strict=True):
            np.subtract(column, known[None], out=gaps)
            np.abs(gaps, out=gaps)
            total += np.minimum(gaps, 1.0, out=gaps)
        found[start : start + _CHUNK] = total.min(axis=1) / len(left)
    return found


def _placed(frame: Frame, ranked: Floats) -> Singles:
    """Ranks of 0..1 and codes of categories, float32 [columns, rows]: gaps of 1 or more are 1."""
    columns = []
    for place, column in enumerate(frame.columns):
        if not is_number(column):
            columns.append(frame.cells[:, place].astype(np.float32))
            continue
        known = np.sort(ranked[~np.isnan(ranked[:, place]), place])
        values = frame.values[:, place]
        ranks = np.searchsorted(known, values) / max(len(known), 1)
        columns.append(np.where(np.isnan(values), _MISSING, ranks).astype(np.float32))
    return np.stack(columns)


def repeated(made: Frame, training: Frame) -> npt.NDArray[np.bool_]:
    """Which generated rows are, cell by cell, a training row."""
    known = {row.tobytes() for row in np.nan_to_num(training.values, nan=np.inf)}
    return np.array([row.tobytes() in known for row in np.nan_to_num(made.values, nan=np.inf)])
