"""Constraints inside a graph: what breaks one is seen, and repaired but for what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.table_layout import TableLayout
from components.train.families.random_rows import derived_seeds, drawn, uniform_rows
from components.train.families.table_conditions import Conditions
from components.train.families.table_constraints import TableConstraints, fresh
from components.train.families.table_decode import TableDecoder

NAN = float("nan")
NUMBER = {
    "kind": "numerical", "dtype": "int64", "nullable": True, "size": 2, "missing": 1,
    "means": [5.0], "deviations": [2.0], "weights": [1.0], "minimum": 0.0, "maximum": 10.0,
    "decimals": 0,
}  # fmt: skip
COLUMNS: list[dict[str, Any]] = [
    {"name": "first", "value": 0, **NUMBER},
    {"name": "second", "value": 1, **NUMBER},
    {"name": "third", "value": 2, **NUMBER},
    {
        "name": "kind", "kind": "categorical", "dtype": "string", "nullable": True, "size": 4,
        "categories": ["a", "b", "c"], "missing": 3,
    },
]  # fmt: skip
# third and kind; the value 1 was clipped, so what it stands for is not known.
SEEN = [(0.0, 0), (0.0, 0), (0.25, 1), (0.0, 3), (1.0, 2)]
NOTHING = Conditions(
    tf.zeros([4], tf.bool), tf.zeros([4], tf.float64), tf.zeros([4], tf.int32), tf.zeros([3])
)


def constraints(*texts: str) -> TableConstraints:
    layout = TableLayout.from_json({"columns": COLUMNS, "constraints": list(texts)})
    codes = np.array([[0, 0, 0, kind] for _, kind in SEEN])
    values = np.array([[0.0, 0.0, third] for third, _ in SEEN], np.float32)
    return TableConstraints(TableDecoder(layout), [(codes, values)])


def some_rows(count: int = 500) -> tf.Tensor:
    noise = np.random.default_rng(0)
    rows = noise.integers(0, 11, [count, 4]).astype(np.float64)
    rows[:, 3] = noise.integers(0, 3, count)
    rows[noise.random([count, 4]) < 0.1] = NAN
    return tf.constant(rows)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([1, 2, 5, 0], True),
        ([2, 2, 5, 0], False),
        ([NAN, 2, 5, 0], True),
        ([1, NAN, 5, NAN], True),
        ([1, 2, 7, 1], True),
        ([1, 2, 5, 1], False),
        ([1, 2, 9, 2], False),
    ],
)
def test_rows_that_break_a_constraint_are_seen(rows: list[float], expected: bool) -> None:
    held = constraints("first < second", "fixed: third, kind").hold(tf.constant([rows], tf.float64))

    assert held.numpy().tolist() == [expected]


def test_repaired_rows_meet_every_constraint() -> None:
    made = constraints("first < second", "second <= third", "fixed: third, kind")
    rows = some_rows()
    assert not made.hold(rows).numpy().all()

    repaired = made.repaired(rows, NOTHING, tf.range(500, dtype=tf.int64))

    assert made.hold(repaired).numpy().mean() > 0.95  # The others are drawn again.
    fine = made.hold(rows).numpy()
    np.testing.assert_array_equal(repaired.numpy()[fine], rows.numpy()[fine])
    np.testing.assert_array_equal(repaired, np.round(repaired))
    assert np.nanmin(repaired) >= 0
    assert np.nanmax(repaired) <= 10


def test_repair_leaves_what_is_known() -> None:
    made = constraints("first < second", "fixed: third, kind")
    row = tf.constant([0, 4, 0, 3], tf.float64)
    given = NOTHING._replace(known=tf.constant([False, True, False, True]), row=row)
    given = given._replace(row=tf.constant([0, 4, 0, 1], tf.float64))
    rows = tf.where(given.known, given.row, some_rows())

    repaired = made.repaired(rows, given, tf.range(500, dtype=tf.int64)).numpy()

    assert set(repaired[:, 1]) == {4}
    assert set(repaired[:, 3]) == {1}
    assert set(repaired[:, 2]) == {7}  # The one number that training has with the category.
    assert made.hold(tf.constant(repaired)).numpy().all()


def test_only_the_first_of_rows_that_are_alike_is_fresh() -> None:
    found = fresh(tf.constant(["a", "b", "b", "c"]), tf.constant(["c", "d"]))

    assert found.numpy().tolist() == [True, True, False, False]


def test_uniform_numbers_are_even_and_their_streams_differ() -> None:
    seeds = tf.range(20_000, dtype=tf.int64)

    first = uniform_rows(seeds, 4).numpy()
    second = uniform_rows(seeds, 4, stream=1).numpy()

    assert first.min() >= 0
    assert first.max() < 1
    counts = np.histogram(first[:, 0], bins=10, range=(0, 1))[0]
    np.testing.assert_allclose(counts, 2000, atol=5 * np.sqrt(2000))
    everything = np.concatenate([first, second], axis=1)
    apart = np.corrcoef(everything.T) - np.eye(8)
    assert np.abs(apart).max() < 5 / np.sqrt(20_000)
    assert len(set(derived_seeds(seeds, tf.constant(1, tf.int64)).numpy())) == 20_000


def test_drawn_places_follow_their_chances_and_the_temperature() -> None:
    uniform = tf.constant((np.arange(1000) + 0.5) / 1000, tf.float32)
    logits = tf.math.log(tf.tile([[0.2, 0.0, 0.5, 0.3]], [1000, 1]))

    usual = np.bincount(drawn(logits, uniform, tf.ones([1000])).numpy(), minlength=4)
    cold = drawn(logits, uniform, tf.zeros([1000])).numpy()

    np.testing.assert_allclose(usual, [200, 0, 500, 300], atol=1)
    assert set(cold) == {2}
