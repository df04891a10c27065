"""How held-out loss fell with training time, and a power law laid through it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_FEWEST_POINTS = 6
_REACH = 2.0  # Further than this the measured slope promises nothing.


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """A straight line in log-log space, carried on to `_REACH` times the training time.

    Attributes:
        points: (seconds, bits per byte): from the last measurement to `low`, back, and to `high`.
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
    slopes = [_slope(points), _slope(points[len(points) // 2 :])]
    if any(slope >= 0 for slope in slopes):
        return None
    last_seconds, last_bits = points[-1]
    end = last_seconds * _REACH

    def after(slope: float, seconds: float) -> float:
        return last_bits * math.exp(slope * math.log(seconds / last_seconds))

    # Both lines start from the last measurement; only their slopes differ.
    low, high = sorted(after(slope, end) for slope in slopes)
    last = (last_seconds, last_bits)
    return Extrapolation([last, (end, low), last, (end, high)], low, high, end)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    logs = np.log(np.array(points))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
