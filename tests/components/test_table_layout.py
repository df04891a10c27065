"""Rows come back from their codes and values in their own types and precision."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from components.table_layout import ColumnLayout, TableLayout, arrow_type, round_numbers
from components.table_schema import BOOLEAN, CATEGORICAL, DATETIME, NUMERICAL

EXACT = ColumnLayout(
    "month", NUMERICAL, "int8", True, 0, 1, 12, 4, 3, means=(1.0, 6.0, 12.0),
    deviations=(0.0,) * 3, weights=(0.2, 0.5, 0.3),
)  # fmt: skip
DELAY = ColumnLayout(
    "delay", NUMERICAL, "double", True, 1, -20.0, 400.0, 3, 2, means=(0.0, 100.0),
    deviations=(5.0, 50.0), weights=(0.9, 0.1), value=0,
)  # fmt: skip
CARRIER = ColumnLayout(
    "carrier", CATEGORICAL, "string", True, size=4, missing=2, categories=("UA", ""), unknown=3
)
FLIGHT = ColumnLayout("flight", CATEGORICAL, "int64", False, size=2, categories=("15", "2"))
LATE = ColumnLayout("late", BOOLEAN, "bool", True, size=3, missing=2, categories=("false", "true"))
HOUR = ColumnLayout(
    "hour", DATETIME, "timestamp[us, tz=UTC]", False, 0, 0.0, 7200.0, 1, means=(3600.0,),
    deviations=(1800.0,), weights=(1.0,), value=1, step=3600.0,
)  # fmt: skip
LAYOUT = TableLayout((EXACT, DELAY, CARRIER, FLIGHT, LATE, HOUR), ("delay >= -20",))


def hours(*values: int) -> pa.Array:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    moments = [epoch + dt.timedelta(hours=value) for value in values]
    return pa.array(moments, pa.timestamp("us", tz="UTC"))


ROWS = pa.table(
    {
        "month": pa.array([12, None, 6], pa.int8()),
        "delay": pa.array([-3.5, 120.0, None]),
        "carrier": pa.array(["", "UA", None]),
        "flight": pa.array([2, 15, 2], pa.int64()),
        "late": pa.array([True, None, False]),
        "hour": hours(0, 1, 2),
    }
)


@pytest.mark.parametrize("as_frame", [False, True])
def test_rows_come_back_in_their_own_types(as_frame: bool) -> None:
    codes, values = LAYOUT.encode(ROWS.to_pandas() if as_frame else ROWS)
    assert codes.tolist() == [[2, 0, 1, 1, 1, 0], [3, 1, 0, 0, 2, 0], [1, 2, 2, 1, 0, 0]]
    np.testing.assert_allclose(values, [[-3.5 / 20, -0.5], [20 / 200, 0], [0, 0.5]], atol=1e-6)
    assert LAYOUT.decode(codes, values).equals(ROWS)


def test_a_number_belongs_to_the_likeliest_mode_and_far_ones_stay_in_reach() -> None:
    table = ROWS.slice(0, 2).set_column(1, "delay", pa.array([15.0, 900.0]))
    codes, values = LAYOUT.encode(table)
    # 15 is 3 deviations from the one mean and 1.7 from the other, but the first mode is ten times
    # as dense and holds nine times as much.
    densities = [0.9 / 5 * np.exp(-4.5), 0.1 / 50 * np.exp(-(1.7**2) / 2)]
    assert codes[0, 1] == int(np.argmax(densities))
    assert (codes[1, 1], values[1, 0]) == (1, 1.0)
    assert LAYOUT.decode(codes, values)["delay"].to_pylist()[1] == 300.0


def test_unseen_category_is_minus_one_unless_training_had_unknown_ones() -> None:
    table = ROWS.slice(0, 1).set_column(2, "carrier", pa.array(["ZZ"]))
    table = table.set_column(3, "flight", pa.array([99]))
    codes, values = LAYOUT.encode(table)
    assert codes[0, 2:4].tolist() == [3, -1]
    codes[0, 3] = 0
    assert LAYOUT.decode(codes, values)["carrier"].to_pylist() == [None]


def test_unseen_number_of_few_values_is_the_nearest_one() -> None:
    codes, _ = LAYOUT.encode(ROWS.slice(0, 1).set_column(0, "month", pa.array([8], pa.int8())))
    assert codes[0, 0] == 1


def test_numbers_are_brought_to_precision_step_and_range() -> None:
    assert round_numbers(np.array([0.26, -99.0, 999.0]), DELAY).tolist() == [0.3, -20.0, 400.0]
    assert round_numbers(np.array([5400.1, 1000.0]), HOUR).tolist() == [7200.0, 0.0]


def test_layout_survives_json_among_other_keys() -> None:
    content = json.loads(json.dumps({"modality": "table", **LAYOUT.to_json(), "train": {}}))
    assert TableLayout.from_json(content) == LAYOUT
    assert (LAYOUT.values, LAYOUT.sizes) == (2, [4, 3, 4, 2, 3, 1])


@pytest.mark.parametrize(
    "kind",
    [pa.int16(), pa.uint32(), pa.float32(), pa.float64(), pa.string(), pa.bool_(), pa.date32(),
     pa.timestamp("us"), pa.timestamp("us", tz="UTC")],
)  # fmt: skip
def test_types_are_known_by_their_names(kind: pa.DataType) -> None:
    assert arrow_type(str(kind)) == kind
