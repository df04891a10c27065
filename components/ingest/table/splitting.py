"""Decides the split of each row: the era by its time, the held-out ones by their digest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.artifacts import CURRENT, EVAL, TRAIN
from components.errors import ConfigError
from components.ingest.documents import Era
from components.ingest.table.options import IngestTableOptions

_SPACE = 2**64

Mask = NDArray[np.bool_]


class TableSplitter:
    """Assigns rows to eras and splits, and chooses which rows are kept."""

    def __init__(self, options: IngestTableOptions) -> None:
        """Reads the eras.

        Raises:
            ConfigError: a bound is no date, or the eras overlap.
        """
        self.reference = Era.parse("reference", options.reference_from, options.reference_to)
        self.current = Era.parse("current", options.current_from, options.current_to)
        if self.current.bounded and self.reference.overlaps(self.current):
            raise ConfigError(
                "expected a training era and a current era that do not overlap. Received: "
                f"{options.reference_from!r} to {options.reference_to!r} and "
                f"{options.current_from!r} to {options.current_to!r}"
            )
        self.held_out_below = options.eval_percent * _SPACE // 100
        # Era -> the largest number that a row that is kept may have.
        self.kept_to: dict[str, int] = {}

    def eras(self, times: pa.Array) -> dict[str, Mask]:
        """Which rows lie in the training era, under `train`, and which in the current one.

        Args:
            times: of each row, null where unknown.
        """
        found = {TRAIN: _within(times, self.reference)}
        if self.current.bounded:
            found[CURRENT] = _within(times, self.current) & ~found[TRAIN]
        return found

    def kept(self, times: pa.Array, numbers: NDArray[np.uint64]) -> dict[str, Mask]:
        """The rows of each era that are kept."""
        eras = self.eras(times)
        for era, largest in self.kept_to.items():
            # What is kept and what is held out must not depend on each other: two numbers.
            eras[era] &= numbers[:, 0] <= np.uint64(largest)
        return eras

    def splits(self, times: pa.Array, numbers: NDArray[np.uint64]) -> dict[str, Mask]:
        """The rows of each split.

        Args:
            times: of each row, null where unknown.
            numbers: uint64 [rows, 4], of the rows' digests.
        """
        eras = self.kept(times, numbers)
        held_out = numbers[:, 1] < np.uint64(self.held_out_below)
        found = {TRAIN: eras[TRAIN] & ~held_out, EVAL: eras[TRAIN] & held_out}
        if CURRENT in eras:
            found[CURRENT] = eras[CURRENT]
        return found


class SmallestNumbers:
    """Keeps the smallest of all numbers that it is shown, in memory for twice as many."""

    def __init__(self, most: int) -> None:
        """Sets how many are kept."""
        self._most = most
        self._kept = np.zeros(0, np.uint64)
        self._shown = 0

    def add(self, numbers: NDArray[np.uint64]) -> None:
        """Takes numbers in."""
        self._shown += len(numbers)
        self._kept = np.concatenate([self._kept, numbers])
        if len(self._kept) > 2 * self._most:
            self._kept = self._smallest()

    def _smallest(self) -> NDArray[np.uint64]:
        return np.partition(self._kept, self._most - 1)[: self._most]

    def join(self, other: SmallestNumbers) -> None:
        """Takes in what others were shown."""
        shown = self._shown + other._shown
        self.add(other._kept)
        self._shown = shown

    def largest(self) -> int | None:
        """The largest of those that are kept, or None where there were no others."""
        if self._shown <= self._most:
            return None
        return int(self._smallest().max())


def _within(times: pa.Array, era: Era) -> Mask:
    if not era.bounded:
        return np.ones(len(times), bool)
    inside = pc.is_valid(times)
    if era.start is not None:
        inside = pc.and_(inside, pc.greater_equal(times, pa.scalar(era.start, times.type)))
    if era.end is not None:
        inside = pc.and_(inside, pc.less(times, pa.scalar(era.end, times.type)))
    mask: Mask = pc.fill_null(inside, False).to_numpy(zero_copy_only=False)
    return mask
