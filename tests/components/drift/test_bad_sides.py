"""Sides that cannot be compared, or hold next to nothing, end in one line or in a plain verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.drift.detection import Comparison, compare
from components.drift.options import ColumnChoice, DriftOptions
from components.drift.sides import Descriptor, Measured
from components.drift.table.sides import rows_apart
from components.errors import ConfigError, DataError
from components.table_schema import CATEGORICAL, NUMERICAL, Column

ROWS = 200
PRICE = Column("price", NUMERICAL, "double", False)
CITY = Column("city", CATEGORICAL, "string", False)


def numbers(**columns: Any) -> Measured:
    return Measured([Descriptor(name, name) for name in columns], list(columns.values()))


def compared(one: Measured, two: Measured, options: DriftOptions | None = None) -> Comparison:
    return compare({"data": (one, two)}, options or DriftOptions(), None)["data"]


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=ROWS)


def test_other_columns_are_one_line_that_names_them(values: np.ndarray) -> None:
    with pytest.raises(DataError, match="only in the reference: a; only in current data: c"):
        compared(numbers(a=values, b=values), numbers(b=values, c=values))


def test_a_column_of_another_type_is_one_line_that_names_it(values: np.ndarray) -> None:
    words = np.array(["x"] * ROWS, object)
    one = Measured([Descriptor("a", "a", categorical=True)], [words])
    with pytest.raises(DataError, match="numbers on one side, categories on the other: a"):
        compared(one, numbers(a=values))


def test_an_empty_window_is_one_line(values: np.ndarray) -> None:
    with pytest.raises(DataError, match="none on the current side; choose a longer window"):
        compared(numbers(a=values), numbers(a=values[:0]))
    with pytest.raises(DataError, match="none on the reference side"):
        compared(numbers(a=values[:0]), numbers(a=values))


@pytest.mark.parametrize("method", ["wasserstein", "ks", "psi", "jensenshannon"])
def test_one_value_only_is_drift_only_where_it_is_another(values: np.ndarray, method: str) -> None:
    same = np.full(ROWS, 3.0)
    found = compared(
        numbers(same=same, other=same, spread=values),
        numbers(same=same, other=same + 1, spread=np.zeros(ROWS)),
        DriftOptions(method=method, threshold=0.05),
    )
    moved = {column.descriptor.name: column.drifted for column in found.columns}
    assert moved == {"same": False, "other": True, "spread": True}


def test_all_missing_is_drift_only_on_one_side(values: np.ndarray) -> None:
    nothing = np.full(ROWS, np.nan)
    found = compared(
        numbers(both=nothing, gone=values, new=nothing),
        numbers(both=nothing, gone=nothing, new=values),
    )
    moved = {column.descriptor.name: column.drifted for column in found.columns}
    assert moved == {"both": False, "gone": True, "new": True}


def test_numbers_that_are_not_finite_count_as_missing(values: np.ndarray) -> None:
    broken = values.copy()
    broken[::2] = np.inf
    broken[1::4] = -np.inf
    table = [pa.table({"price": side, "city": ["Rome"] * ROWS}) for side in (values, broken)]
    found = compared(*rows_apart(*table, (PRICE, CITY)))
    moved = {column.descriptor.name: column for column in found.columns}
    assert moved["price.missing"].drifted
    assert moved["price.missing"].category in ("missing", "present")
    assert not moved["price"].drifted
    assert np.isfinite(moved["price"].score)


def test_tables_of_other_columns_or_types_are_one_line(values: np.ndarray) -> None:
    good = pa.table({"price": values, "city": ["Rome"] * ROWS})
    with pytest.raises(DataError, match=r"in the current rows\. Received: none of city"):
        rows_apart(good, good.drop_columns(["city"]), (PRICE, CITY))
    texts = good.set_column(0, "price", pa.array(["dear"] * ROWS))
    with pytest.raises(DataError, match=r"price to be numerical \(double\).*Received: string"):
        rows_apart(good, texts, (PRICE, CITY))
    nulls = good.set_column(0, "price", pa.nulls(ROWS))
    found = compared(*rows_apart(good, nulls, (PRICE, CITY)))
    assert {column.descriptor.name for column in found.drifted} == {"price", "price.missing"}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"column": "embedding", "method": "ks"}, "expected the method of embedding"),
        ({"column": "a", "method": "domain_classifier"}, "expected column: embedding"),
        ({"column": "a", "method": "chisquare"}, "no such method for numbers"),
        ({"column": "b"}, "Accepted: a, embedding"),
    ],
)
def test_a_method_that_does_not_fit_is_one_line(
    values: np.ndarray, entry: dict[str, str], told: str
) -> None:
    options = DriftOptions(columns=[ColumnChoice(**entry)])
    with pytest.raises(ConfigError, match=told) as caught:
        compared(numbers(a=values), numbers(a=values), options)
    assert "\n" not in str(caught.value)


def test_the_threshold_of_the_classifier_can_be_chosen(values: np.ndarray) -> None:
    table = [pa.table({"price": side, "city": ["Rome"] * ROWS}) for side in (values, values + 1.0)]
    pair = rows_apart(*table, (PRICE, CITY))
    for threshold, drifted in ((0.55, True), (1.0, False)):
        entry = ColumnChoice(column="embedding", threshold=threshold)
        found = compared(*pair, DriftOptions(columns=[entry]))
        assert found.domain is not None
        assert found.domain.drifted == drifted
        assert found.domain.limit >= threshold


def test_a_few_values_against_many_are_judged_as_few() -> None:
    """Three conditions that users set, beside a thousand training rows."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        asked = np.full(400, np.nan)
        asked[:3] = rng.normal(size=3)
        pair = numbers(a=rng.normal(size=1000)), numbers(a=rng.permutation(asked))
        alarms += compared(*pair).moved
    assert alarms <= 4
