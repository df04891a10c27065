"""The learning-rate range test of Smith (2017): raise the rate until the loss breaks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 90
_SMOOTHING = 0.9
# The loss is broken where it has risen from its least by more than it had fallen, and by more than
# this many times what it varied by in the first steps, whose rates are too small to move it.
_FIRST_STEPS, _NOISE = 20, 4.0
# Of the rate at which the loss was least, which is close to where training breaks.
_SAFE_SHARE = 0.1

RATES = [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, STEPS)]


def search(train: Callable[[int, float], float]) -> float:
    """Trains through rates from 1e-6 to 1.

    Args:
        train: does step number so-and-so at that rate, and returns its loss.

    Returns:
        A tenth of the rate at which the smoothed loss was least.
    """
    smoothed: list[float] = []
    mean = 0.0
    for step, rate in enumerate(RATES):
        loss = train(step, rate)
        if not math.isfinite(loss):
            break
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smoothed.append(mean / (1 - _SMOOTHING ** (step + 1)))
        if step >= _FIRST_STEPS:
            first, least = smoothed[:_FIRST_STEPS], min(smoothed)
            usual = max(first[0] - least, _NOISE * (max(first) - min(first)))
            if smoothed[-1] - least > usual:
                break
    return RATES[int(np.argmin(smoothed))] * _SAFE_SHARE if smoothed else LOWEST
