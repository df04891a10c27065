"""Similarities: known by hand for small tables, and in the right order for good and bad ones."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from components.evaluate.table.fidelity import correlations, fidelity, half_samples, spread
from components.evaluate.table.frames import Framer, independent
from components.table_schema import Column, TableSchema

Rows = Callable[..., pa.Table]


def schema(**kinds: str) -> TableSchema:
    types = {"numerical": "double", "categorical": "string"}
    return TableSchema(tuple(Column(name, kind, types[kind], True) for name, kind in kinds.items()))


def test_shapes_and_trends_of_small_tables_are_those_by_hand() -> None:
    kinds = schema(x="numerical", a="categorical", b="categorical")
    real = pa.table(
        {"x": [1.0, 2.0, 3.0, 4.0], "a": ["p", "p", "q", "q"], "b": ["s", "s", "t", "t"]}
    )
    made = pa.table(
        {"x": [1.0, 2.0, 3.0, 9.0], "a": ["p", "p", "p", "q"], "b": ["s", "t", "s", "t"]}
    )
    framer = Framer(kinds, real)
    found = fidelity(framer.frame(real), framer.frame(made))
    # x: the distribution functions are a quarter apart between 4 and 9. a: a quarter has moved.
    np.testing.assert_allclose(found.shapes, [0.75, 0.75, 1.0])
    # (p,s) 1/2 -> 1/2, (q,t) 1/2 -> 1/4, (p,t) 0 -> 1/4.
    assert found.trends[1, 2] == pytest.approx(0.75)
    assert found.column_shapes == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert found.quality == pytest.approx((found.column_shapes + found.pair_trends) / 2)


def test_a_missing_value_counts_as_a_value() -> None:
    kinds = schema(x="numerical", a="categorical")
    real = pa.table({"x": [1.0, 2.0, None, None], "a": ["p", "p", None, None]})
    made = pa.table({"x": [1.0, 2.0, 1.0, None], "a": ["p", "p", "p", None]})
    framer = Framer(kinds, real)
    found = fidelity(framer.frame(real), framer.frame(made))
    np.testing.assert_allclose(found.shapes, [0.75, 0.75])


def test_correlations_leave_out_missing_values_and_survive_large_numbers() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=500)
    y = x + draw.normal(size=500)
    values = np.stack([x, y * 1e3 + 1.36e9, np.zeros(500)], axis=1)
    values[::7, 0] = np.nan
    kept = ~np.isnan(values[:, 0])
    expected = np.corrcoef(x[kept], y[kept])[0, 1]
    found = correlations(values)
    assert found[0, 1] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(found[0, 2])


def test_broken_pairs_keep_their_shapes_and_lose_their_trends(draw_rows: Rows) -> None:
    real, alike, broken = draw_rows(2000, 0), draw_rows(2000, 1), draw_rows(2000, 2, broken=True)
    kinds = TableSchema(
        (
            Column("carrier", "categorical", "string", False),
            Column("distance", "numerical", "int64", False, 0),
            Column("late", "boolean", "bool", False),
        )
    )
    framer = Framer(kinds, real)
    frames = [framer.frame(table) for table in (real, alike, broken)]
    good, bad = fidelity(frames[0], frames[1]), fidelity(frames[0], frames[2])
    naive = fidelity(frames[0], independent(frames[1], 2000, 0))
    assert good.column_shapes > 0.95
    assert bad.column_shapes > 0.95
    assert good.pair_trends > 0.9 > 0.8 > bad.pair_trends
    assert naive.pair_trends == pytest.approx(bad.pair_trends, abs=0.05)


def test_intervals_hold_what_another_draw_gives(draw_rows: Rows) -> None:
    real = draw_rows(600, 0)
    kinds = TableSchema(
        (
            Column("carrier", "categorical", "string", False),
            Column("distance", "numerical", "int64", False, 0),
        )
    )
    framer = Framer(kinds, real)
    inside = 0
    for seed in range(1, 13):
        one, two = (framer.frame(draw_rows(600, 100 * seed + n)) for n in (0, 1))
        value = fidelity(one, two).quality
        halves = [half.quality for half, _ in half_samples(one, two, 40, seed)]
        low, high = spread(value, halves)
        assert low < value < high
        again = fidelity(*(framer.frame(draw_rows(600, 100 * seed + n)) for n in (2, 3))).quality
        # Another draw varies as much again: the interval is widened by the root of two.
        reach = 2**0.5
        inside += value - reach * (value - low) <= again <= value + reach * (high - value)
    assert inside >= 9
