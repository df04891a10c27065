"""Constraints are read as they are written, and find the rows that violate them."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd
import pyarrow as pa
import pytest

from components.errors import ConfigError
from components.table_schema import (
    CATEGORICAL,
    DATETIME,
    NUMERICAL,
    Column,
    Constraint,
    Fixed,
    Inequality,
    Range,
    TableSchema,
    Unique,
    combinations,
    parse_constraint,
)

COLUMNS = (
    Column("low", NUMERICAL, "int64", True, 0),
    Column("high", NUMERICAL, "double", True, 1),
    Column("left at", DATETIME, "timestamp[us, tz=UTC]", True),
    Column("came", DATETIME, "timestamp[us, tz=UTC]", False),
    Column("city", CATEGORICAL, "string", True),
)


def times(*texts: str | None) -> pa.Array:
    moments = [dt.datetime.fromisoformat(text) if text else None for text in texts]
    return pa.array(moments, pa.timestamp("us", tz="UTC"))


TABLE = pa.table(
    {
        "low": pa.array([1, 5, None, -3], pa.int64()),
        "high": pa.array([2.5, 5.0, 1.0, None]),
        "left at": times("2013-01-01T10:00:00+00:00", None, "2013-02-01T00:00:00+00:00",
                         "2013-03-01T00:00:00+00:00"),
        "came": times("2013-01-01T11:00:00+00:00", "2013-01-02T00:00:00+00:00",
                      "2013-01-31T00:00:00+00:00", "2013-03-01T00:00:00+00:00"),
        "city": pa.array(["Rome", "Rome", None, None]),
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("low >= 0", Range("low >= 0", "low", 0.0)),
        ("0 < low", Range("0 < low", "low", 0.0, True)),
        ("low < 1e3", Range("low < 1e3", "low", high=1000.0, high_strict=True)),
        ("-1.5 <= high <= 12", Range("-1.5 <= high <= 12", "high", -1.5, False, 12.0)),
        ("12 > low >= 0", Range("12 > low >= 0", "low", 0.0, False, 12.0, True)),
        (
            "came >= 1970-01-02",
            Range("came >= 1970-01-02", "came", 86_400.0),
        ),
        ("low <= high", Inequality("low <= high", "low", "high")),
        ("came > left at", Inequality("came > left at", "left at", "came", True)),
        ("fixed: city, low", Fixed("fixed: city, low", ("city", "low"))),
        ("unique:city", Unique("unique:city", ("city",))),
    ],
)
def test_every_form_is_read(text: str, expected: Constraint) -> None:
    assert parse_constraint(text, COLUMNS) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("low", "one of the forms"),
        ("low >= 0 <= high", "one direction"),
        ("lo >= 0", "among low, high"),
        ("low >= zero", "a number or a column beside low, not 'zero'"),
        ("left at >= 2013-13-01", "ISO 8601 time"),
        ("city >= 3", "city is categorical"),
        ("low <= came", "numerical and datetime"),
        ("9 <= low <= 3", "lower bound below"),
        ("fixed: city", "two or more"),
        ("unique: town", "not 'town'"),
        ("low <= high <= low", "one of the forms"),
        ("low >=", "one of the forms"),
    ],
)
def test_what_is_no_constraint_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_constraint(text, COLUMNS)
    assert "\n" not in str(caught.value)
    assert f"Received: {text!r}" in str(caught.value)


@pytest.mark.parametrize("as_frame", [False, True])
def test_violating_rows_are_found_and_missing_values_violate_nothing(as_frame: bool) -> None:
    constraints = (
        "low >= 0",
        "low < high",
        "left at <= came",
        "came >= 2013-01-31",
        "unique: city",
    )
    table = TABLE.to_pandas() if as_frame else TABLE
    found = TableSchema(COLUMNS, constraints).violations(table)
    assert {text: mask.tolist() for text, mask in found.items()} == {
        "low >= 0": [False, False, False, True],
        "low < high": [False, True, False, False],
        "left at <= came": [False, False, True, False],
        "came >= 2013-01-31": [True, True, False, False],
        "unique: city": [False, True, False, True],
    }


def test_times_may_also_be_texts() -> None:
    table = pa.table({"came": ["2013-01-30T23:59:59Z", "2013-01-31T00:00:00.5Z"]})
    schema = TableSchema((COLUMNS[3],), ("came >= 2013-01-31",))
    assert schema.violations(table)["came >= 2013-01-31"].tolist() == [True, False]


def test_combinations_are_those_of_the_rows_given() -> None:
    text = "fixed: city, low"
    schema = TableSchema(COLUMNS, (text,))
    assert schema.violations(TABLE) == {}
    seen = combinations([TABLE.slice(0, 1), TABLE.slice(2, 1)], ["city", "low"])
    assert seen == {("Rome", 1), (None, None)}
    assert schema.violations(TABLE, {text: seen})[text].tolist() == [False, True, False, True]


def test_missing_numbers_of_a_frame_are_the_missing_ones_of_a_table() -> None:
    text = "fixed: low, city"
    seen = {text: combinations([TABLE], ["low", "city"])}
    frame = pd.DataFrame({"low": [5.0, float("nan")], "city": ["Rome", None]})
    assert TableSchema(COLUMNS, (text,)).violations(frame, seen)[text].tolist() == [False, False]


def test_schema_survives_json() -> None:
    schema = TableSchema(COLUMNS, ("low >= 0",))
    assert TableSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
