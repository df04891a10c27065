"""What generated rows teach, and whether trees tell them from real ones."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from components.evaluate.table.frames import Framer
from components.evaluate.table.utility import choose_target, told_apart, utility
from components.table_schema import Column, TableSchema

Rows = Callable[..., pa.Table]
KINDS = TableSchema(
    (
        Column("carrier", "categorical", "string", False),
        Column("distance", "numerical", "int64", False, 0),
        Column("delay", "numerical", "double", True, 1),
        Column("late", "boolean", "bool", False),
    )
)


@pytest.mark.parametrize(("target", "measure"), [("late", "ROC AUC"), ("distance", "R squared")])
def test_good_rows_teach_what_real_rows_teach_and_broken_ones_nothing(
    draw_rows: Rows, target: str, measure: str
) -> None:
    training, held_out = draw_rows(600, 0), draw_rows(600, 1)
    framer = Framer(KINDS, training)
    made = {
        "good": framer.frame(draw_rows(600, 2)),
        "broken": framer.frame(draw_rows(600, 3, broken=True)),
    }
    place = choose_target(framer.frame(held_out), target)
    assert place == [column.name for column in KINDS.columns].index(target)
    ratios = {}
    for name, frame in made.items():
        found = utility(frame, framer.frame(training), framer.frame(held_out), place, 0)
        assert found is not None
        assert found.measure == measure
        assert found.ratio is not None
        assert found.ratio.low <= found.ratio.value <= found.ratio.high
        ratios[name] = found.ratio.value
    assert ratios["good"] > 0.9
    assert ratios["broken"] < 0.3


def test_the_target_is_the_last_column_of_few_categories(draw_rows: Rows) -> None:
    framer = Framer(KINDS, draw_rows(100, 0))
    assert choose_target(framer.frame(draw_rows(100, 0)), "") == 3


def test_trees_tell_broken_rows_from_real_ones_and_not_good_ones(draw_rows: Rows) -> None:
    framer = Framer(KINDS, draw_rows(800, 0))
    real = framer.frame(draw_rows(800, 1))
    good = told_apart(framer.frame(draw_rows(800, 2)), real, 0)
    broken = told_apart(framer.frame(draw_rows(800, 3, broken=True)), real, 0)
    assert good.low < 0.55
    assert broken.low > 0.8
