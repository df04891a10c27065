"""Modes are those of the numbers, whatever order they come in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from components.transform.table.modes import (
    SAMPLE_ROWS,
    NumberSpec,
    _fit,
    _lines,
    _Sample,
)

MIXTURE = NumberSpec(modes=8, each_value=False, resolution=1.0)
VALUES = NumberSpec(modes=4, each_value=True, resolution=1.0)


def sampled(numbers: NDArray[np.float64], keys: NDArray[np.int64], parts: int) -> list[bytes]:
    """The file's lines, learnt from so many parts."""
    sample = _Sample([MIXTURE, VALUES])
    accumulators = []
    for some, its in zip(np.array_split(numbers, parts), np.array_split(keys, parts), strict=True):
        accumulators.append(sample.add_input(sample.create_accumulator(), (some, its)))
    columns = sample.extract_output(sample.merge_accumulators(accumulators))
    return [
        line
        for spec, column in zip((MIXTURE, VALUES), columns, strict=True)
        for line in _lines(spec, column)
    ]


def test_order_and_parts_do_not_matter() -> None:
    random = np.random.default_rng(5)
    rows = 3 * SAMPLE_ROWS
    numbers = np.stack(
        [np.round(random.normal(100, 20, rows)), random.integers(1, 5, rows)], axis=1
    ).astype(np.float64)
    numbers[random.random(rows) < 0.1, 0] = np.nan
    keys = random.integers(0, 2**62, rows)
    order = random.permutation(rows)
    assert sampled(numbers, keys, 1) == sampled(numbers[order], keys[order], 7)


def test_each_value_is_a_mode_with_its_share() -> None:
    numbers = np.array([[0.0, 3.0]] * 30 + [[0.0, 1.0]] * 10 + [[np.nan, np.nan]] * 5)
    lines = sampled(numbers, np.arange(45), 2)
    assert lines[-5:] == [
        b"1.0 3.0 0.0\n",
        b"1.0 0.0 0.25\n",
        b"3.0 0.0 0.75\n",
        b"0.0 1.0 0.0\n",
        b"0.0 1.0 0.0\n",
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_far_out_are_within_reach_of_a_mode(sign: int) -> None:
    random = np.random.default_rng(1)
    numbers = sign * np.concatenate([random.normal(100, 10, 20_000), random.uniform(500, 700, 20)])
    sample = _Sample([MIXTURE])
    keys = random.integers(0, 2**62, len(numbers))
    (column,) = sample.extract_output(
        sample.add_input(sample.create_accumulator(), (numbers[:, None], keys))
    )
    modes = _fit(MIXTURE, column)
    assert len(modes) <= 8
    assert modes[:, 2].sum() == pytest.approx(1)
    scaled = (numbers[:, None] - modes[:, 0]) / modes[:, 1]
    likely = np.log(modes[:, 2]) - np.log(modes[:, 1]) - scaled**2 / 2
    chosen = np.take_along_axis(scaled, likely.argmax(axis=1)[:, None], axis=1)
    assert (np.abs(chosen) <= 4).mean() > 0.999
    assert (np.abs(chosen[-20:]) <= 4).all()


def test_a_constant_has_one_mode_that_rounds_to_it() -> None:
    spec = NumberSpec(modes=5, each_value=False, resolution=0.1)
    sample = _Sample([spec])
    numbers = np.full((100, 1), 0.3)
    (column,) = sample.extract_output(
        sample.add_input(sample.create_accumulator(), (numbers, np.arange(100)))
    )
    ((mean, deviation, weight),) = _fit(spec, column).tolist()
    assert (round(mean, 9), round(weight, 9)) == (0.3, 1.0)
    assert deviation == pytest.approx(0.025)
