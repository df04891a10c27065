"""What a served model costs: the size of its files, and how long one request takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from components.artifacts import Figure

_WARM = 2
_CALLS = 31
_FEWEST = 6  # Fewer say nothing about where 95% of medians lie.
_SECONDS = 4.0


def size(saved_model: Path) -> Figure:
    """The bytes of all files of a SavedModel."""
    files = [file for file in saved_model.rglob("*") if file.is_file()]
    total = float(sum(file.stat().st_size for file in files))
    return Figure(total, samples=1, unit="bytes", better="lower", label="Size of the SavedModel")


def latency(call: Callable[[int], object], what: str) -> Figure:
    """The median time of one request after another, in milliseconds, in this process.

    Args:
        call: sends one request and waits for its answer; is given the request's number.
        what: one request, in words for the report.
    """
    for number in range(_WARM):
        call(number)
    seconds: list[float] = []
    begun = time.perf_counter()
    while len(seconds) < _CALLS:
        start = time.perf_counter()
        call(len(seconds))
        seconds.append(time.perf_counter() - start)
        if len(seconds) >= _FEWEST and time.perf_counter() - begun > _SECONDS:
            break
    low, middle, high = (1000 * one for one in median_interval(seconds))
    label = f"Time of one request here: {what}"
    return Figure(middle, low, high, len(seconds), "ms", "lower", label)


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median between the order statistics that hold it with at least 95% probability.

    The number of values below the median is binomial, whatever their distribution (Conover,
    Practical Nonparametric Statistics, 3.2). Of fewer than six values no two hold it so surely,
    and the smallest and the largest are given.
    """
    ordered, count = sorted(values), len(values)
    place = 0  # The largest with P(fewer than place + 1 values below the median) <= 2.5%.
    tail = 1 / 2**count
    while place < (count - 1) // 2:
        tail += math.comb(count, place + 1) / 2**count
        if tail > 0.025:
            break
        place += 1
    half = count // 2
    middle = ordered[half] if count % 2 else (ordered[half - 1] + ordered[half]) / 2
    return ordered[place], middle, ordered[count - 1 - place]
