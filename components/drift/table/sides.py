"""The columns of both sides of a comparison of tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import CURRENT, TRAIN, Evaluation, Examples
from components.drift.choosing import smallest
from components.drift.domain import MOST_ROWS, table_features
from components.drift.options import DriftOptions
from components.drift.reference import Reference, in_common
from components.drift.requests import Request
from components.drift.sides import Descriptor, Measured, Sides
from components.drift.table.conditions import asked
from components.errors import DataError
from components.table_layout import category_texts
from components.table_schema import BOOLEAN, CATEGORICAL, DATETIME, Column, TableSchema, numbers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MISSING = "(missing)"
_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_DAY = 86_400
_MOST_DIGITS = 4
_EXAMPLES = 3


def sides(
    source: Examples, evaluation: Evaluation, options: DriftOptions, model: Path | None
) -> Mapping[str, tuple[Any, Any]]:
    """The sides of `data`, where there is a current era, and of `output`; see `measure`."""
    return measure(source, evaluation, options, model).pairs


def measure(
    source: Examples,
    evaluation: Evaluation,
    options: DriftOptions,
    model: Path | None,
    requests: Sequence[Request] = (),
    earlier: Reference | None = None,
) -> Sides:
    """Measures the rows of every comparison.

    Every column is compared: numbers, categories, whether a value is missing, and of datetimes
    also the month, the day of the week and the hour. The datetime that the eras were divided by
    differs between them by design, so `data` and `reference` leave it and its month out.

    Args:
        source: validated examples of a table.
        evaluation: of the evaluate step, for its generated rows.
        options: how many rows are taken of each side at most, those with the smallest ids.
        model: not needed: rows are told apart by their columns.
        requests: what users asked for; none for no comparison `prompt`.
        earlier: the training rows of another version; None for no comparison `reference`.

    Raises:
        DataError: there is no training row, there are no generated rows, or no request has a
            condition on a column.
    """
    columns = TableSchema.from_json(source.manifest().details).columns
    training = smallest(source, TRAIN, options.max_rows)
    if not training.num_rows:
        raise DataError(f"expected training rows in {source.path}. Received: an empty train split")
    by_design = _by_design(_divided_by(training, columns))
    found: dict[str, tuple[Any, Any]] = {}
    notes: dict[str, Sequence[str]] = {}
    if source.has(CURRENT):
        current = smallest(source, CURRENT, options.max_rows)
        found["data"] = rows_apart(training, current, columns, by_design)
    if requests:
        found["prompt"] = asked(training, requests, columns)
    generated = _generated(evaluation.samples_path, columns, options.max_rows)
    found["output"] = rows_apart(training, generated, columns)
    known = _measured(training, columns)
    if earlier is not None:
        before, now, notes["reference"] = in_common(earlier.side, known, by_design)
        if before.descriptors:
            found["reference"] = _with_features(before, now)
    return Sides(found, known, notes=notes)


def _by_design(divided_by: frozenset[str]) -> frozenset[str]:
    """The measures that differ between eras because eras were divided by them."""
    return frozenset(
        name for column in divided_by for name in (column, f"{column}.month", f"{column}.missing")
    )


def _with_features(before: Measured, after: Measured) -> tuple[Measured, Measured]:
    """The sides with what a classifier tells them apart by."""
    one, two = table_features(before.descriptors, before.columns, after.columns, MOST_ROWS)
    return dataclasses.replace(before, features=one), dataclasses.replace(after, features=two)


def _measured(rows: pa.Table, columns: tuple[Column, ...]) -> Measured:
    """One side by itself."""
    pairs = [each for column in columns for each in measures_of(column, rows, rows.slice(0, 0))]
    return Measured(
        tuple(descriptor for descriptor, *_ in pairs),
        [values for _, values, _ in pairs],
        times=_dates(rows),
    )


def _generated(path: Path, columns: tuple[Column, ...], most: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"expected generated rows at {path}. Received: no such file")
    names = pq.read_schema(path).names
    lacking = [column.name for column in columns if column.name not in names]
    if lacking:
        raise DataError(
            f"expected the columns of the table in {path}. Received: none of {', '.join(lacking)}"
        )
    table = pq.read_table(path, columns=[column.name for column in columns])
    if not table.num_rows:
        raise DataError(f"expected generated rows at {path}. Received: an empty table")
    # Whoever wrote them may have sorted them, and only the first ones tell chance from drift.
    order = np.random.default_rng(0).permutation(table.num_rows)[:most]
    return table.take(pa.array(order))


def _divided_by(training: pa.Table, columns: tuple[Column, ...]) -> frozenset[str]:
    """The datetime columns that are the rows' own time, by which eras are divided."""
    import numpy as np

    times = numbers(training, Column("event_time", DATETIME, "timestamp[us, tz=UTC]", True))
    return frozenset(
        column.name
        for column in columns
        if column.kind == DATETIME
        and np.array_equal(numbers(training, column), times, equal_nan=True)
    )


def rows_apart(
    before: pa.Table,
    after: pa.Table,
    columns: tuple[Column, ...],
    skip: frozenset[str] = frozenset(),
) -> tuple[Measured, Measured]:
    """Two tables, measured in their columns.

    Args:
        before, after: rows, in an order that is none of time; an `event_time` dates them.
        columns: what is compared of them.
        skip: names of measures to leave out.

    Raises:
        DataError: a table lacks one of the columns, or has it in another type.
    """
    for which, table in (("reference", before), ("current", after)):
        _check_columns(which, table, columns)
    descriptors: list[Descriptor] = []
    measured: list[list[NDArray[Any]]] = [[], []]
    for column in columns:
        for descriptor, *both in measures_of(column, before, after):
            if descriptor.name in skip:
                continue
            descriptors.append(descriptor)
            for side, values in zip(measured, both, strict=True):
                side.append(values)
    one, two = (
        Measured(
            tuple(descriptors), values, examples=_examples(table, columns), times=_dates(table)
        )
        for table, values in zip((before, after), measured, strict=True)
    )
    return _with_features(one, two)


def _check_columns(which: str, table: pa.Table, columns: tuple[Column, ...]) -> None:
    """Whether a table can be compared in the columns.

    Raises:
        DataError: it cannot.
    """
    lacking = [column.name for column in columns if column.name not in table.column_names]
    if lacking:
        raise DataError(
            f"expected the columns {', '.join(column.name for column in columns)} in the {which} "
            f"rows. Received: none of {', '.join(lacking)}"
        )
    for column in columns:
        received = table.schema.field(column.name).type
        if not _fits(received, column):
            raise DataError(
                f"expected {column.name} to be {column.kind} ({column.dtype}) in the {which} rows. "
                f"Received: {received}"
            )


def _fits(received: pa.DataType, column: Column) -> bool:
    import pyarrow.types as types

    if types.is_null(received):
        return True  # All of it is missing.
    if column.kind == CATEGORICAL:
        return not types.is_nested(received)
    if column.kind == BOOLEAN:
        return bool(types.is_boolean(received) or types.is_string(received))
    if column.kind == DATETIME:
        # Generated datetimes are ISO 8601 texts.
        return bool(types.is_temporal(received) or types.is_string(received))
    return bool(
        types.is_integer(received) or types.is_floating(received) or types.is_decimal(received)
    )


_Measure = tuple["Descriptor", "NDArray[Any]", "NDArray[Any]"]


def measures_of(column: Column, before: pa.Table, after: pa.Table) -> Iterator[_Measure]:
    """What is measured of a column, with the values of both sides.

    An infinite number counts as missing: it has no place among the others.
    """
    import numpy as np

    name = column.name
    if column.kind in (CATEGORICAL, BOOLEAN):
        described = Descriptor(name, name, categorical=True)
        yield described, _categories(before, column), _categories(after, column)
        return
    one, two = (_numbers(table, column) for table in (before, after))
    digits = _MOST_DIGITS if column.decimals is None else min(column.decimals + 1, _MOST_DIGITS)
    yield Descriptor(name, name, digits=digits, dated=column.kind == DATETIME), one, two
    if column.nullable or not (np.isfinite(one).all() and np.isfinite(two).all()):
        described = Descriptor(f"{name}.missing", f"missing {name}", categorical=True)
        yield described, _missing(one), _missing(two)
    if column.kind == DATETIME:
        parts = {"month": _month, "weekday": _weekday, "hour": _hour}
        if column.step is not None and column.step >= _DAY:
            del parts["hour"]
        for part, of in parts.items():
            described = Descriptor(f"{name}.{part}", f"{part} of {name}", categorical=True)
            yield described, of(one), of(two)


def _categories(table: pa.Table, column: Column) -> NDArray[Any]:
    import numpy as np

    texts = category_texts(table.column(column.name))
    return np.array([MISSING if text is None else text for text in texts], object)


def _numbers(table: pa.Table, column: Column) -> NDArray[np.float64]:
    """Float64 [rows], NaN where missing; a column of nothing but nulls has no type of its own."""
    import numpy as np
    import pyarrow.types as types

    if types.is_null(table.schema.field(column.name).type):
        return np.full(table.num_rows, np.nan)
    return numbers(table, column)


def _missing(values: NDArray[np.float64]) -> NDArray[Any]:
    import numpy as np

    return np.where(np.isfinite(values), "present", "missing").astype(object)


def _month(seconds: NDArray[np.float64]) -> NDArray[Any]:
    import numpy as np

    def months(known: NDArray[np.float64]) -> NDArray[np.int64]:
        return known.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12

    return _named(seconds, months, _MONTHS)


def _weekday(seconds: NDArray[np.float64]) -> NDArray[Any]:
    # 1970 began on a Thursday.
    return _named(seconds, lambda known: (known // _DAY + 3) % 7, _WEEKDAYS)


def _hour(seconds: NDArray[np.float64]) -> NDArray[Any]:
    names = [f"{hour:02d}:00" for hour in range(24)]
    return _named(seconds, lambda known: known % _DAY // 3600, names)


def _named(seconds: NDArray[np.float64], place: Any, names: list[str]) -> NDArray[Any]:
    """The name that `place` finds for each time; a missing one has a name of its own."""
    import numpy as np

    known = ~np.isnan(seconds)
    found = np.full(len(seconds), MISSING, object)
    found[known] = np.array(names, object)[place(seconds[known]).astype(np.int64)]
    return found


def _dates(table: pa.Table) -> list[str]:
    """The date of each row; nothing for generated rows, which have none."""
    if "event_time" not in table.column_names:
        return []
    times = table.column("event_time").to_pylist()
    return [time.date().isoformat() if time else "" for time in times]


def _examples(table: pa.Table, columns: tuple[Column, ...]) -> list[dict[str, str]]:
    rows = table.select([column.name for column in columns]).slice(0, _EXAMPLES).to_pylist()
    return [
        {name: MISSING if value is None else str(value) for name, value in row.items()}
        for row in rows
    ]
