"""The axis of a chart: from values to places, and which values to name."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Axis:
    """Maps values to percent of the plot and chooses round ticks."""

    def __init__(
        self, values: Sequence[float], log: bool, margin: float = 0.0, *, whole: bool = False
    ) -> None:
        """Spans the values, with a share of the span to spare at either end.

        Args:
            values: at least one; positive where `log`.
            log: whether the axis is logarithmic.
            margin: the share to spare.
            whole: name whole numbers only, as of things that are counted.
        """
        self.log, self.whole = log, whole
        low, high = self._scaled(min(values)), self._scaled(max(values))
        spare = (high - low) * margin or (0.5 if high == low else 0.0)
        self.low, self.high = low - spare, high + spare

    def has(self, value: float) -> bool:
        """Whether the value can be shown."""
        return math.isfinite(value) and (value > 0 or not self.log)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def percent(self, value: float) -> float:
        """Where the value stands, from 0 at the low end to 100 at the high one."""
        return (self._scaled(value) - self.low) / (self.high - self.low) * 100

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        if self.log:
            decades = range(math.floor(self.low) - 1, math.ceil(self.high) + 1)
            for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
                found = [step * 10.0**decade for decade in decades for step in steps]
                inside = [tick for tick in found if self.low <= math.log10(tick) <= self.high]
                if len(inside) >= 3:
                    break
            if len(inside) >= 2:
                return inside
            # Less than one of those steps wide: named like a linear axis.
            return _round_steps(10.0**self.low, 10.0**self.high)
        return _round_steps(self.low, self.high, least=1.0 if self.whole else 0.0)


def _round_steps(low: float, high: float, least: float = 0.0) -> list[float]:
    """About five multiples of 1, 2 or 5 times a power of ten from `low` to `high`.

    Fewer where they would stand closer than `least`.
    """
    raw = max((high - low) / 5, least)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
