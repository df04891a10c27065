"""Intervals at another confidence than the 95% at which figures are reported."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist

from components.artifacts import Figure
from components.wilson import wilson

REPORTED = 0.95
_NORMAL = NormalDist()


def at(figure: Figure, confidence: float) -> Figure:
    """The figure with its interval at a confidence.

    A share whose interval is Wilson's (Journal of the American Statistical Association, 1927) gets
    Wilson's at that confidence. Of other intervals each end is moved away from the value by the
    ratio of the normal quantiles, which is right where that half is normal; a share stays within 0
    and 1.

    Args:
        figure: with its 95% interval, or without one.
        confidence: of the two-sided interval, between 0 and 1.
    """
    if confidence == REPORTED or figure.low is None or figure.high is None:
        return figure
    reported, wanted = _z(REPORTED), _z(confidence)
    share = figure.unit == "share" and figure.samples > 0 and 0 <= figure.value <= 1
    if share:
        low, high = wilson(figure.value, figure.samples, reported)
        if math.isclose(low, figure.low, abs_tol=1e-9) and math.isclose(
            high, figure.high, abs_tol=1e-9
        ):
            low, high = wilson(figure.value, figure.samples, wanted)
            return dataclasses.replace(figure, low=low, high=high)
    ratio = wanted / reported
    low = figure.value - (figure.value - figure.low) * ratio
    high = figure.value + (figure.high - figure.value) * ratio
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    return dataclasses.replace(figure, low=low, high=high)


def _z(confidence: float) -> float:
    return _NORMAL.inv_cdf(0.5 + confidence / 2)
