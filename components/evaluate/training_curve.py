"""How held-out loss fell with training time, and a power law laid through it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_FEWEST_POINTS = 6
_REACH = 10.0


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """A straight line in log-log space, carried on to `_REACH` times the training time.

    Attributes:
        points: (seconds, bits per byte) from the last measurement on.
        low, high: bits per byte at the end by fits to all points and to the later half.
        seconds: where the line ends.
    """

    points: list[tuple[float, float]]
    low: float
    high: float
    seconds: float


def curve(card: Mapping[str, Any], tokens_per_byte: float) -> list[tuple[float, float]]:
    """(seconds of training, held-out bits per byte) from a model card's history.

    Args:
        card: has `history`, rows with `seconds` and `eval_loss` (nats per token) where measured.
        tokens_per_byte: of the held-out texts, ends included.
    """
    points = []
    for row in card.get("history") or []:
        seconds, loss = row.get("seconds"), row.get("eval_loss")
        if seconds and loss and math.isfinite(loss):
            points.append((float(seconds), float(loss) * tokens_per_byte / math.log(2)))
    return sorted(points)


def extrapolate(points: Sequence[tuple[float, float]]) -> Extrapolation | None:
    """Carries the curve on, or returns None where too few points or no fall forbid it."""
    if len(points) < _FEWEST_POINTS:
        return None
    fits = [_fit(points), _fit(points[len(points) // 2 :])]
    if any(slope >= 0 for slope, _ in fits):
        return None
    last_seconds, last_bits = points[-1]
    end = last_seconds * _REACH

    def after(slope: float, seconds: float) -> float:
        return last_bits * math.exp(slope * math.log(seconds / last_seconds))

    # Both lines start from the last measurement; only their slopes differ.
    ends = sorted(after(slope, end) for slope, _ in fits)
    middle = sum(slope for slope, _ in fits) / 2
    times = np.geomspace(last_seconds, end, 16)
    line = [(float(time), after(middle, float(time))) for time in times]
    return Extrapolation(line, ends[0], ends[1], end)


def _fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    logs = np.log(np.array(points))
    slope, offset = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return float(slope), float(offset)
