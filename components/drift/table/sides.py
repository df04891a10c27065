"""The columns of both sides of a comparison of tables."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import CURRENT, TRAIN, Evaluation, Examples
from components.drift.domain import table_features
from components.drift.options import DriftOptions
from components.drift.sides import Descriptor, Measured
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
) -> dict[str, tuple[Measured, Measured]]:
    """Measures the rows of every comparison.

    Every column is compared: numbers, categories, whether a value is missing, and of datetimes
    also the month, the day of the week and the hour. The datetime that the eras were divided by
    differs between them by design, so `data` leaves it and its month out.

    Args:
        source: validated examples of a table.
        evaluation: of the evaluate step, for its generated rows.
        options: how many rows are taken of each side at most, those with the smallest ids.
        model: not needed: rows are told apart by their columns.

    Returns:
        Reference and current side of `data` (absent without a current era) and of `output`.

    Raises:
        DataError: there is no training row, or there are no generated rows.
    """
    columns = TableSchema.from_json(source.manifest().details).columns
    training = _choose(source, TRAIN, options.max_rows)
    if not training.num_rows:
        raise DataError(f"expected training rows in {source.path}. Received: an empty train split")
    found = {}
    if source.has(CURRENT):
        divided_by = _divided_by(training, columns)
        current = _choose(source, CURRENT, options.max_rows)
        found["data"] = _pair(training, current, columns, divided_by)
    generated = _generated(evaluation.samples_path, columns, options.max_rows)
    found["output"] = _pair(training, generated, columns, frozenset())
    return found


def _choose(source: Examples, split: str, most: int) -> pa.Table:
    """At most `most` rows of a split, those with the smallest ids, in the order of their ids.

    So the first of them are rows of the whole era. The split is streamed; memory grows with
    `most`, not with the split.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def ids() -> Iterator[str]:
        for batch in source.batches(split, columns=["example_id"]):
            yield from batch.column("example_id").to_pylist()

    wanted = pa.array(heapq.nsmallest(most, ids()), pa.string())
    kept = [
        batch.filter(pc.is_in(batch.column("example_id"), wanted))
        for batch in source.batches(split)
    ]
    if not kept:
        shards = source.shards(split)
        return pq.read_schema(shards[0]).empty_table() if shards else pa.table({})
    return pa.Table.from_batches(kept).sort_by("example_id")


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


def _pair(
    before: pa.Table, after: pa.Table, columns: tuple[Column, ...], divided_by: frozenset[str]
) -> tuple[Measured, Measured]:
    descriptors: list[Descriptor] = []
    measured: list[list[NDArray[Any]]] = [[], []]
    for column in columns:
        for descriptor, *both in _measures(column, before, after):
            if column.name in divided_by and descriptor.name in (
                column.name,
                f"{column.name}.month",
            ):
                continue
            descriptors.append(descriptor)
            for side, values in zip(measured, both, strict=True):
                side.append(values)
    features = table_features(descriptors, *measured)
    first, second = (
        Measured(tuple(descriptors), values, encoded, _examples(table, columns), _dates(table))
        for table, values, encoded in zip((before, after), measured, features, strict=True)
    )
    return first, second


_Measure = tuple["Descriptor", "NDArray[Any]", "NDArray[Any]"]


def _measures(column: Column, before: pa.Table, after: pa.Table) -> Iterator[_Measure]:
    """What is measured of a column, with the values of both sides."""
    name = column.name
    if column.kind in (CATEGORICAL, BOOLEAN):
        described = Descriptor(name, name, categorical=True)
        yield described, _categories(before, column), _categories(after, column)
        return
    one, two = numbers(before, column), numbers(after, column)
    digits = _MOST_DIGITS if column.decimals is None else min(column.decimals + 1, _MOST_DIGITS)
    yield Descriptor(name, name, digits=digits, dated=column.kind == DATETIME), one, two
    if column.nullable:
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


def _missing(values: NDArray[np.float64]) -> NDArray[Any]:
    import numpy as np

    return np.where(np.isnan(values), "missing", "present").astype(object)


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
