"""The schema of a table: its columns, and the constraints that every row of it meets."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from components.artifacts import PROVENANCE
from components.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

NUMERICAL = "numerical"
CATEGORICAL = "categorical"
DATETIME = "datetime"
BOOLEAN = "boolean"
KINDS = (NUMERICAL, CATEGORICAL, DATETIME, BOOLEAN)

# Columns that every example has beside those of its source.
RESERVED = ("example_id", "document_id", "event_time", PROVENANCE)

FORMS = (
    "'distance >= 0', '0 <= month <= 12', 'departure <= arrival', 'fixed: origin, dest' or "
    "'unique: flight, day'"
)


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the source.
        kind: 'numerical', 'categorical', 'datetime' or 'boolean'.
        dtype: Arrow's name of the type: an integer type such as 'int64', 'float', 'double',
            'string', 'bool', 'date32[day]', 'timestamp[us]' or 'timestamp[us, tz=UTC]'.
        nullable: whether a value is missing somewhere.
        decimals: digits after the point that were seen, 0 for integers; of the seconds for
            datetimes. None where numbers use the whole precision of their type.
        minimum, maximum: of numbers; of datetimes in seconds since 1970, UTC. None elsewhere.
        distinct: how many different values there are; None where they are too many to count.
        step: for datetimes the seconds that all values are a multiple of: 86400 for days, 3600,
            60 or 1; None for fractions of seconds, and for other kinds.
    """

    name: str
    kind: str
    dtype: str
    nullable: bool
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    distinct: int | None = None
    step: float | None = None


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers, or datetimes, between bounds; None is no bound. Strict bounds are left out.

    The bounds of datetimes are seconds since 1970, UTC.
    """

    text: str
    column: str
    low: float | None = None
    low_strict: bool = False
    high: float | None = None
    high_strict: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclasses.dataclass(frozen=True)
class Inequality:
    """`left <= right` of two columns, or `left < right` where strict."""

    text: str
    left: str
    right: str
    strict: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.left, self.right)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Only combinations of values that the training rows have, missing values included."""

    text: str
    columns: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Unique:
    """No two rows alike in these columns."""

    text: str
    columns: tuple[str, ...]


Constraint = Range | Inequality | Fixed | Unique
Combination = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class TableSchema:
    """Columns in their order, and constraints as the user declared them."""

    columns: tuple[Column, ...]
    constraints: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote; other keys are ignored."""
        columns = tuple(Column(**column) for column in content["columns"])
        return cls(columns, tuple(content.get("constraints", ())))

    def to_json(self) -> dict[str, Any]:
        """The form that `manifest.details` has."""
        columns = [dataclasses.asdict(column) for column in self.columns]
        return {"columns": columns, "constraints": list(self.constraints)}

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def parsed(self) -> list[Constraint]:
        """The constraints as objects.

        Raises:
            ConfigError: one is no constraint, or names no column that it could hold for.
        """
        return [parse_constraint(text, self.columns) for text in self.constraints]

    def violations(
        self,
        table: pa.Table | pa.RecordBatch | pd.DataFrame,
        seen: Mapping[str, set[Combination]] | None = None,
    ) -> dict[str, NDArray[np.bool_]]:
        """Which rows violate which constraint.

        A comparison with a missing value is not violated. Of rows that are alike in the columns
        of a `unique` constraint, all but the first violate it.

        Args:
            table: rows with the columns of the schema; others are ignored.
            seen: text of a `fixed` constraint -> the combinations of its columns that are
                allowed, as `combinations` finds them; one without an entry is not checked, for
                a table does not violate combinations that it defines itself.

        Returns:
            For each checked constraint, by its text, bool [rows].
        """
        import numpy as np

        found = {}
        for constraint in self.parsed():
            match constraint:
                case Range():
                    values = numbers(table, self.column(constraint.column))
                    found[constraint.text] = _outside(values, constraint)
                case Inequality(text, left, right, strict):
                    low, high = (numbers(table, self.column(name)) for name in (left, right))
                    # A comparison with NaN, the missing value, is false.
                    found[text] = low >= high if strict else low > high
                case Fixed(text, columns):
                    if seen is None or text not in seen:
                        continue
                    allowed = seen[text]
                    rows = _rows(table, columns)
                    found[text] = np.array([row not in allowed for row in rows], bool)
                case Unique(text, columns):
                    rows = _rows(table, columns)
                    found[text] = _repeated(rows)
        return found


def combinations(
    tables: Iterable[pa.Table | pa.RecordBatch | pd.DataFrame], columns: Sequence[str]
) -> set[Combination]:
    """The different combinations of values in some columns; None is a missing value."""
    return {row for table in tables for row in _rows(table, columns)}


def parse_constraint(text: str, columns: Sequence[Column]) -> Constraint:
    """Reads a constraint.

    Args:
        text: one of the forms in `FORMS`; a bound of datetimes is ISO 8601.
        columns: of the table.

    Raises:
        ConfigError: it is none of the forms, or names a column that is not there or of a kind
            that has no order.
    """
    head, colon, rest = text.partition(":")
    if colon and head.strip() in ("fixed", "unique"):
        names = tuple(name.strip() for name in rest.split(","))
        for name in names:
            _find(text, name, columns)
        if head.strip() == "unique":
            return Unique(text, names)
        if len(names) < 2:
            raise _wrong(text, "two or more columns after 'fixed:'")
        return Fixed(text, names)
    parts = [part.strip() for part in re.split(r"(<=|>=|<|>)", text)]
    terms, operators = parts[::2], parts[1::2]
    if len(terms) not in (2, 3) or not all(terms):
        raise _wrong(text, f"one of the forms {FORMS}")
    if len({operator[0] for operator in operators}) > 1:
        raise _wrong(text, "comparisons of one direction")
    if operators[0][0] == ">":
        terms, operators = terms[::-1], [each.replace(">", "<") for each in operators[::-1]]
    return _comparison(text, terms, operators, columns)


def _comparison(
    text: str, terms: list[str], operators: list[str], columns: Sequence[Column]
) -> Constraint:
    """Terms in rising order, with '<' or '<=' between them."""
    by_name = {column.name: column for column in columns}
    known = [term in by_name for term in terms]
    if known == [True, True]:
        left, right = (_ordered(text, by_name[term]) for term in terms)
        if left.kind != right.kind:
            raise _wrong(text, f"columns of one kind, but they are {left.kind} and {right.kind}")
        return Inequality(text, left.name, right.name, operators[0] == "<")
    if known.count(True) != 1 or (len(terms) == 3 and not known[1]):
        names = ", ".join(by_name)
        raise _wrong(text, f"one of the forms {FORMS}, with columns among {names}")
    place = known.index(True)
    column = _ordered(text, by_name[terms[place]])
    low = _bound(text, terms[place - 1], column) if place else None
    high = _bound(text, terms[place + 1], column) if place + 1 < len(terms) else None
    if low is not None and high is not None and low > high:
        raise _wrong(text, "a lower bound below the upper one")
    return Range(
        text,
        column.name,
        low,
        low is not None and operators[0] == "<",
        high,
        high is not None and operators[-1] == "<",
    )


def _find(text: str, name: str, columns: Sequence[Column]) -> Column:
    for column in columns:
        if column.name == name:
            return column
    known = ", ".join(column.name for column in columns)
    raise _wrong(text, f"columns among {known}, not {name!r}")


def _ordered(text: str, column: Column) -> Column:
    if column.kind not in (NUMERICAL, DATETIME):
        raise _wrong(text, f"a column with an order, but {column.name} is {column.kind}")
    return column


def _bound(text: str, term: str, column: Column) -> float:
    try:
        return iso_seconds(term) if column.kind == DATETIME else float(term)
    except ValueError:
        wanted = "an ISO 8601 time" if column.kind == DATETIME else "a number or a column"
        raise _wrong(text, f"{wanted} beside {column.name}, not {term!r}") from None


def _wrong(text: str, expected: str) -> ConfigError:
    return ConfigError(f"ingest.constraints: expected {expected}. Received: {text!r}")


def iso_seconds(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    time = dt.datetime.fromisoformat(text.strip())
    time = time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time
    return time.timestamp()


def numbers(table: pa.Table | pa.RecordBatch | pd.DataFrame, column: Column) -> NDArray[np.float64]:
    """A numerical or datetime column as float64 [rows]; datetimes are seconds since 1970, UTC.

    Datetimes may also be ISO 8601 texts. Missing values are NaN.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _array(table, column.name)
    if column.kind == DATETIME:
        if not pa.types.is_temporal(array.type):
            import pandas as pd

            times = pd.to_datetime(array.to_pandas(), utc=True, format="ISO8601")
            array = pa.Array.from_pandas(times)
        micros = pc.cast(pc.cast(array, pa.timestamp("us"), safe=False), pa.int64())
        seconds: NDArray[np.float64] = _floats(micros) / 1e6
        return seconds
    return _floats(array)


def _floats(array: Any) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    found: NDArray[np.float64] = values
    return found


def _array(table: pa.Table | pa.RecordBatch | pd.DataFrame, name: str) -> Any:
    import pyarrow as pa

    if isinstance(table, pa.Table):
        return table.column(name).combine_chunks()
    if isinstance(table, pa.RecordBatch):
        return table.column(name)
    return pa.Array.from_pandas(table[name])


def _rows(
    table: pa.Table | pa.RecordBatch | pd.DataFrame, columns: Sequence[str]
) -> list[Combination]:
    return list(zip(*(_array(table, name).to_pylist() for name in columns), strict=True))


def _repeated(rows: Sequence[Combination]) -> NDArray[np.bool_]:
    """Marks the rows that an earlier row is equal to."""
    import numpy as np

    first: dict[Combination, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row, place)
    return np.array([first[row] != place for place, row in enumerate(rows)], bool)


def _outside(values: NDArray[np.float64], constraint: Range) -> NDArray[np.bool_]:
    import numpy as np

    outside = np.zeros(values.shape, bool)
    if constraint.low is not None:
        low = constraint.low
        outside |= values <= low if constraint.low_strict else values < low
    if constraint.high is not None:
        high = constraint.high
        outside |= values >= high if constraint.high_strict else values > high
    return outside
