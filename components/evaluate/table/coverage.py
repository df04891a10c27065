"""How much of what real rows combine, generated rows have at all: falls where a model collapses."""

from __future__ import annotations

import itertools

import numpy as np

from components.artifacts import Figure
from components.evaluate.intervals import mean
from components.evaluate.table.frames import Floats, Frame
from components.evaluate.table.options import EvaluateTableOptions


def covered(real: Frame, made: Frame) -> Floats:
    """For each real row, the share of its cells, and pairs of cells, that some made row has.

    Numbers count by the tenth of the range that they lie in. It is the recall of every pair of
    columns, weighed by how often real rows have the pair, as SDMetrics' CategoryCoverage is of one
    column without weights. It rises with the number of rows, so only equal numbers compare.

    Args:
        real, made: rows laid out by the same `Framer`.

    Returns:
        float64 [real rows], of 0..1.
    """
    columns = range(len(real.columns))
    hits = np.zeros(len(real))
    pairs = list(itertools.combinations_with_replacement(columns, 2))
    for one, two in pairs:
        size = real.sizes[two]
        wanted, there = (frame.cells[:, one] * size + frame.cells[:, two] for frame in (real, made))
        hits += np.isin(wanted, there)
    return hits / len(pairs)


def coverage(
    real: Frame, made: Frame, options: EvaluateTableOptions, label: str, better: str = "higher"
) -> Figure:
    """The mean over the real rows, with its bootstrap interval."""
    found = mean(covered(real, made).tolist(), 500, options.seed)
    return Figure(found.value, found.low, found.high, found.clusters, "share", better, label)
