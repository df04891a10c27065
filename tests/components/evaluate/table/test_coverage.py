"""Coverage is known by hand for a small table, and falls where a model collapses."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from components.artifacts import Examples
from components.evaluate.table.coverage import coverage, covered
from components.evaluate.table.frames import Framer
from components.evaluate.table.options import EvaluateTableOptions
from components.table_schema import Column, TableSchema

Rows = Callable[..., pa.Table]


def test_a_small_table_by_hand() -> None:
    kinds = TableSchema(tuple(Column(name, "categorical", "string", True) for name in "ab"), ())
    real = pa.table({"a": ["p", "p", "q", None], "b": ["s", "t", "t", "t"]})
    made = pa.table({"a": ["p", "q"], "b": ["s", "t"]})
    framer = Framer(kinds, real)
    # Of a, of b and of both: p and t never come together, and nothing is missing.
    found = covered(framer.frame(real), framer.frame(made))
    np.testing.assert_allclose(found, [1, 2 / 3, 1, 1 / 3])
    figure = coverage(framer.frame(real), framer.frame(made), EvaluateTableOptions(), "label")
    assert figure.value == pytest.approx(0.75)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 0.75 < figure.high <= 1


def test_it_falls_with_every_generation_that_learns_from_a_few_of_the_last(
    draw_rows: Rows, table_examples: Examples
) -> None:
    real, made = draw_rows(800, 0), draw_rows(800, 1)
    schema = TableSchema.from_json(table_examples.manifest().details)
    framer, draw = Framer(schema, real), np.random.default_rng(0)
    values = []
    for _ in range(5):
        values.append(covered(framer.frame(real), framer.frame(made)).mean())
        few = made.take(pa.array(draw.integers(made.num_rows, size=made.num_rows // 4)))
        made = few.take(pa.array(draw.integers(few.num_rows, size=800)))
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.97
    assert values[-1] < values[0] - 0.03
