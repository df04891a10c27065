"""Numbers as people read them: four digits that matter, and no exponent to count zeros by."""

from __future__ import annotations

import math
from decimal import Decimal

_SMALLEST, _LARGEST = 1e-9, 1e15
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def plain(value: float) -> str:
    """Such as `0.5455`, `0.00006705` or `6,265,113`; an exponent only where nothing else fits."""
    shown = f"{value:.4g}"
    if "e" not in shown or not _SMALLEST <= abs(value) < _LARGEST:
        return shown
    return f"{value:,.0f}" if abs(value) > 1 else f"{Decimal(shown):f}"


def with_unit(value: float, unit: str) -> str:
    """The same with its unit; bytes in the largest one that they fill.

    A share needs none: the rules about it are written as shares, too.
    """
    if unit == "bytes" and math.isfinite(value):
        for size, name in _SIZES:
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    return plain(value) if unit in ("", "share") else f"{plain(value)} {unit}"
