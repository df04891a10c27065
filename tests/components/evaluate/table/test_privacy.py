"""Copies of training rows are found; rows of the same distribution are not taken for them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from components.evaluate.table.frames import Frame, Framer
from components.evaluate.table.privacy import closest, nearer_to_training, per_record, repeated
from components.table_schema import Column, TableSchema

Rows = Callable[..., pa.Table]
KINDS = TableSchema(
    (
        Column("carrier", "categorical", "string", False),
        Column("distance", "numerical", "int64", False, 0),
        Column("delay", "numerical", "double", True, 1),
    )
)


def test_copies_lie_nearer_to_training_and_fresh_rows_as_often_to_either(draw_rows: Rows) -> None:
    training, held_out = draw_rows(800, 0), draw_rows(800, 1)
    framer = Framer(KINDS, training)
    frames = [framer.frame(table) for table in (training, held_out, draw_rows(800, 2))]
    fresh = nearer_to_training(frames[2], frames[0], frames[1]).mean()
    copied = nearer_to_training(frames[0], frames[0], frames[1]).mean()
    assert 0.42 < fresh < 0.58
    assert copied > 0.9
    assert repeated(frames[0], frames[0]).all()
    assert repeated(frames[2], frames[0]).mean() < 0.1


def test_distances_are_those_by_hand() -> None:
    table = pa.table({"carrier": ["AA", "UA"], "distance": [100, 200], "delay": [1.0, None]})
    framer = Framer(KINDS, table)
    frame = framer.frame(table)
    first = frame.take(np.array([0]))
    second = frame.take(np.array([1]))
    # Another carrier (1), half of the ranks away (0.5), missing against present (1), of 3 columns.
    np.testing.assert_allclose(closest(first, second, frame.values), [2.5 / 3])
    np.testing.assert_allclose(closest(first, frame, frame.values), [0.0])


def test_copies_are_found_among_far_more_training_rows_than_held_out_ones(draw_rows: Rows) -> None:
    training, held_out = draw_rows(4000, 0), draw_rows(400, 1)
    framer = Framer(KINDS, training)
    frames = [framer.frame(table) for table in (training, held_out, draw_rows(1000, 2))]
    broken = framer.frame(draw_rows(1000, 3, broken=True))

    def measured(made: Frame) -> float:
        share = nearer_to_training(made, frames[0], frames[1]).mean()
        return per_record(float(share), 4000, 400)

    # A bad model is no more and no less private for that.
    assert 0.4 < measured(frames[2]) < 0.6
    assert 0.4 < measured(broken) < 0.6
    assert measured(frames[0]) > 0.9
