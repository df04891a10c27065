"""A TensorFlow Transform analyzer that learns the modes of numbers on Beam."""

from __future__ import annotations

import dataclasses
import uuid
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import apache_beam as beam
import numpy as np
import tensorflow_transform.beam as tft_beam
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray

from components.table_layout import SPAN

MODES_NAME = "modes"
# Of each column, the rows that its mixture is fitted to.
SAMPLE_ROWS = 10_000
# A mode that holds a smaller share of the rows is none.
_LEAST_WEIGHT = 0.005
# Least deviation of a mode, in units of the last digit that was seen.
_LEAST_DEVIATION = 0.25
_ITERATIONS = 100
NUMBERS_PER_LINE = 3

_Floats = NDArray[np.float64]
_Batch = tuple[_Floats, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class NumberSpec:
    """How the modes of one column are learnt.

    Attributes:
        modes: how many there are at most.
        each_value: whether each different value is a mode of its own.
        resolution: smallest step between numbers that was seen, or 0 where unknown.
    """

    modes: int
    each_value: bool
    resolution: float

    @property
    def lines(self) -> int:
        """How many lines of the file the column has: its range, then its modes."""
        return 1 + self.modes


@dataclasses.dataclass
class _Column:
    """What is kept of one column: a sample, or how often each value is there."""

    values: _Floats
    keys: NDArray[np.int64]
    counts: Counter[float]
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def empty(cls) -> _Column:
        return cls(np.zeros(0), np.zeros(0, np.int64), Counter())

    def sampled(self) -> _Column:
        """Keeps the values with the smallest keys, whatever their order was."""
        return self.ordered() if len(self.keys) > SAMPLE_ROWS else self

    def ordered(self) -> _Column:
        """Puts what is kept in an order of its own: a fit depends on the order of its values."""
        # By value too, so that equal keys do not depend on the order either.
        chosen = np.lexsort((self.values, self.keys))[:SAMPLE_ROWS]
        self.values, self.keys = self.values[chosen], self.keys[chosen]
        return self


class LearnModes(tft_beam.experimental.PTransformAnalyzer):  # type: ignore[misc]
    """Batches of (numbers, keys) -> the path of a file of modes.

    Every number is drawn into the sample by its row's key, so the sample does not depend on how
    rows are spread over workers, and samples of parts merge to the sample of the whole. The file
    has three numbers in a line: for each column `minimum maximum 0`, then for each mode
    `mean deviation weight`, with `0 1 0` for modes that it does not have.
    """

    def __init__(self, specs: Sequence[NumberSpec]) -> None:
        """Sets how each column's modes are learnt."""
        super().__init__()
        self._specs = list(specs)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        specs, folder = self._specs, self.base_temp_dir
        return (
            batches
            | "Sample" >> beam.CombineGlobally(_Sample(specs))
            | "Fit" >> beam.Map(_write_modes, specs=specs, folder=folder)
        )


class _Sample(beam.CombineFn):  # type: ignore[misc]
    """Samples columns, and counts the values of those where each is a mode."""

    def __init__(self, specs: Sequence[NumberSpec]) -> None:
        super().__init__()
        self._specs = specs

    def create_accumulator(self) -> list[_Column]:
        return [_Column.empty() for _ in self._specs]

    def add_input(self, columns: list[_Column], batch: _Batch) -> list[_Column]:
        numbers, keys = batch
        for place, (spec, column) in enumerate(zip(self._specs, columns, strict=True)):
            there = ~np.isnan(numbers[:, place])
            found = numbers[there, place]
            if not len(found):
                continue
            column.low = min(column.low, float(found.min()))
            column.high = max(column.high, float(found.max()))
            if spec.each_value:
                values, counts = np.unique(found, return_counts=True)
                column.counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            else:
                column.values = np.concatenate([column.values, found])
                column.keys = np.concatenate([column.keys, keys[there]])
                if len(column.keys) > 2 * SAMPLE_ROWS:
                    column.sampled()
        return columns

    def merge_accumulators(self, parts: Iterable[list[_Column]]) -> list[_Column]:
        merged = self.create_accumulator()
        for part in parts:
            for column, other in zip(merged, part, strict=True):
                column.low = min(column.low, other.low)
                column.high = max(column.high, other.high)
                column.counts.update(other.counts)
                column.values = np.concatenate([column.values, other.values])
                column.keys = np.concatenate([column.keys, other.keys])
                column.sampled()
        return merged

    def extract_output(self, columns: list[_Column]) -> list[_Column]:
        return [column.ordered() for column in columns]


def _write_modes(columns: list[_Column], specs: Sequence[NumberSpec], folder: str) -> NDArray:  # type: ignore[type-arg]
    """Fits every column; returns the path of the file, a scalar of bytes."""
    parent = str(PurePosixPath(folder) / uuid.uuid4().hex)
    FileSystems.mkdirs(parent)
    path = str(PurePosixPath(parent) / MODES_NAME)
    with FileSystems.create(path) as stream:
        for spec, column in zip(specs, columns, strict=True):
            stream.write(b"".join(_lines(spec, column)))
    return np.array(path.encode())


def empty_file(specs: Sequence[NumberSpec]) -> bytes:
    """A file of modes before any is learnt, of as many lines."""
    return b"0.0 1.0 0.0\n" * sum(spec.lines for spec in specs)


def _lines(spec: NumberSpec, column: _Column) -> Iterator[bytes]:
    modes = _each_value(column) if spec.each_value else _fit(spec, column)
    modes = modes[np.argsort(modes[:, 0])]
    unused = np.tile([0.0, 1.0, 0.0], (spec.modes - len(modes), 1))
    for line in [(column.low, column.high, 0.0), *modes.tolist(), *unused.tolist()]:
        yield " ".join(repr(float(number)) for number in line).encode() + b"\n"


def _each_value(column: _Column) -> _Floats:
    values = np.array(sorted(column.counts), np.float64)
    counts = np.array([column.counts[value] for value in values.tolist()], np.float64)
    return np.stack([values, np.zeros(len(values)), counts / counts.sum()], axis=1)


def _fit(spec: NumberSpec, column: _Column) -> _Floats:
    """A variational Gaussian mixture; as in CTGAN (Xu et al., 2019), modes that hold little go.

    What no mode reaches then gets modes of its own; see `_with_tails`.

    Returns:
        [modes, 3], mean, deviation and weight of each.
    """
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
    from sklearn.mixture import BayesianGaussianMixture  # type: ignore[import-untyped]

    center, scale = column.values.mean(), column.values.std()
    if not scale:
        only = [column.values[0], max(spec.resolution * _LEAST_DEVIATION, 1e-9), 1.0]
        return _with_tails(np.array([only]), spec, column)
    standard = ((column.values - center) / scale)[:, None]
    mixture = BayesianGaussianMixture(
        n_components=min(spec.modes, len(np.unique(standard))),
        weight_concentration_prior=0.001,
        max_iter=_ITERATIONS,
        random_state=0,
    )
    with warnings.catch_warnings():
        # A mixture that still moves a little serves as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(standard)
    kept = mixture.weights_ > _LEAST_WEIGHT
    deviations = np.sqrt(mixture.covariances_[kept, 0, 0]) * scale
    least = max(spec.resolution * _LEAST_DEVIATION, scale * 1e-6)
    weights = mixture.weights_[kept]
    means = mixture.means_[kept, 0] * scale + center
    modes = np.stack([means, np.maximum(deviations, least), weights / weights.sum()], axis=1)
    return _with_tails(modes, spec, column)


def _with_tails(modes: _Floats, spec: NumberSpec, column: _Column) -> _Floats:
    """Adds a mode for all numbers beyond the reach of the others, on either side.

    CTGAN cuts such numbers off; here they are, while there is room for modes, within two
    deviations of one, near enough to be likelier there than in the mode next to it.
    """
    for sign, end in ((1, column.high), (-1, column.low)):
        edge = sign * float((sign * modes[:, 0] + SPAN * modes[:, 1]).max())
        if len(modes) >= spec.modes or sign * (end - edge) <= 0:
            continue
        share = max(float((sign * (column.values - edge) > 0).mean()), 1 / SAMPLE_ROWS)
        tail = [(edge + end) / 2, abs(end - edge) / 4, share]
        modes = np.concatenate([modes * [1, 1, 1 - share], [tail]])
    return modes
