"""What a column holds, learnt batch by batch in flat memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.table_schema import (
    BOOLEAN,
    CATEGORICAL,
    DATETIME,
    NUMERICAL,
    Column,
)

# Different values that are counted; a column with more has too many.
MOST_DISTINCT = 1000
# Digits after the point that count as a precision; numbers with more use all that they have.
_MOST_DECIMALS = 9
# A number such as 10.357019999999999 came out of arithmetic on numbers with fewer digits.
_ULPS = 4
# Microseconds.
_STEPS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000)


def kind_of(dtype: pa.DataType, categorical: bool) -> str:
    """The kind of a column by its type.

    Args:
        dtype: as inference.py finds it.
        categorical: whether whole numbers are categories.
    """
    if pa.types.is_boolean(dtype):
        return BOOLEAN
    if pa.types.is_temporal(dtype):
        return DATETIME
    return CATEGORICAL if categorical or pa.types.is_string(dtype) else NUMERICAL


class Profile:
    """The properties of one column over all batches so far."""

    def __init__(self, name: str, dtype: pa.DataType, categorical: bool) -> None:
        """Starts without any value."""
        self.name = name
        self.dtype = dtype
        self._kind = kind_of(dtype, categorical)
        self._missing = 0
        self._distinct: set[object] | None = set()
        self._low: float | int | None = None
        self._high: float | int | None = None
        self._decimals: int | None = 0
        self._steps = list(_STEPS)

    def add(self, array: pa.Array) -> None:
        """Takes a batch of values in."""
        self._missing += array.null_count
        values = pc.drop_null(array)
        if not len(values):
            return
        if self._distinct is not None:
            self._distinct.update(pc.unique(values).to_pylist())
            if len(self._distinct) > MOST_DISTINCT:
                self._distinct = None
        if self._kind == DATETIME:
            self._add_times(values)
        elif self._kind == NUMERICAL:
            self._add_numbers(values)

    def _add_numbers(self, values: pa.Array) -> None:
        ends = pc.min_max(values).as_py()
        self._widen(ends["min"], ends["max"])
        if pa.types.is_floating(self.dtype) and self._decimals is not None:
            self._decimals = _decimals(values.to_numpy(zero_copy_only=False), self._decimals)

    def _add_times(self, values: pa.Array) -> None:
        micros = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64()).to_numpy()
        self._widen(float(micros.min()) / 1e6, float(micros.max()) / 1e6)
        self._steps = [step for step in self._steps if not (micros % step).any()]
        if (micros % 1_000_000).any():
            self._decimals = 3 if not (micros % 1000).any() and self._decimals != 6 else 6

    def _widen(self, low: float, high: float) -> None:
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def join(self, other: Profile) -> None:
        """Takes in what others found in other rows of the column."""
        self._missing += other._missing
        if self._distinct is not None:
            self._distinct = None if other._distinct is None else self._distinct | other._distinct
        if self._distinct is not None and len(self._distinct) > MOST_DISTINCT:
            self._distinct = None
        if other._low is not None and other._high is not None:
            self._widen(other._low, other._high)
        if self._decimals is not None:
            unknown = other._decimals is None
            self._decimals = None if unknown else max(self._decimals, other._decimals or 0)
        self._steps = [step for step in self._steps if step in other._steps]

    def column(self) -> Column:
        """What was found."""
        ordered = self._kind in (NUMERICAL, DATETIME)
        timed = self._kind == DATETIME
        return Column(
            name=self.name,
            kind=self._kind,
            dtype=str(self.dtype),
            nullable=self._missing > 0,
            decimals=self._decimals if ordered else None,
            minimum=self._low,
            maximum=self._high,
            distinct=None if self._distinct is None else len(self._distinct),
            step=self._steps[0] / 1e6 if timed and self._steps else None,
        )


def _decimals(values: NDArray[np.floating], known: int) -> int | None:
    """The digits after the point that all values have at most, and `known` at least."""
    tolerance = _ULPS * np.spacing(np.abs(values))
    for digits in range(known, _MOST_DECIMALS + 1):
        rounded = np.round(values.astype(np.float64), digits).astype(values.dtype)
        if (np.abs(rounded - values) <= tolerance).all():
            return digits
    return None
