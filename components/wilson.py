"""Wilson's score interval of a share (Journal of the American Statistical Association, 1927)."""

from __future__ import annotations

import math


def wilson(share: float, count: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Args:
        share: observed.
        count: how many were observed.
        z: the normal quantile of the interval.
    """
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    middle, scale = share + z * z / (2 * count), 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
