"""How the rows of a table are laid out as codes and values, and back again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from components.table_schema import BOOLEAN, CATEGORICAL, DATETIME, NUMERICAL, Column, numbers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

# Deviations on either side of a mode's mean that the values -1..1 span (Xu et al., 2019).
SPAN = 4.0

# Of the output that tells which values of a nullable column are missing.
MISSING_SUFFIX = ".missing"


@dataclasses.dataclass(frozen=True)
class ColumnLayout:
    """What the codes and values of one column mean.

    The codes are, in this order: the categories of a categorical or boolean column, or the modes
    of a numerical or datetime one; the missing value, where the column is nullable; and the
    unknown category, where training had more categories than were kept.

    Attributes:
        name, kind, dtype, nullable, decimals, step: as in `components.table_schema.Column`.
        minimum, maximum: of the training rows; datetimes in seconds since 1970, UTC.
        size: how many codes there are.
        missing: the code of a missing value, or None where the column has none.
        unknown: the code of categories that were not kept, or None. A sample should not have it.
        categories: of a categorical or boolean column, as text: 'false' and 'true', '1545' for
            the integer, the most frequent first. A text itself stands as it is.
        means, deviations, weights: of the modes; weights add up to 1.
        value: place among the `values` of a row; None where the code says everything. That is so
            for categories, and for numbers with few distinct values, each its own mode: then the
            number is `means[code]` and the deviation is 0.
    """

    name: str
    kind: str
    dtype: str
    nullable: bool
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    size: int = 1
    missing: int | None = None
    categories: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    value: int | None = None
    unknown: int | None = None
    weights: tuple[float, ...] = ()
    step: float | None = None

    @property
    def has_categories(self) -> bool:
        """Whether the codes are categories; otherwise they are modes."""
        return self.kind in (CATEGORICAL, BOOLEAN)

    @property
    def column(self) -> Column:
        """The column in the terms of a schema."""
        return Column(
            self.name, self.kind, self.dtype, self.nullable, self.decimals, self.minimum,
            self.maximum, step=self.step,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TableLayout:
    """The columns in the order of their codes, and the declared constraints."""

    columns: tuple[ColumnLayout, ...]
    constraints: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote, such as the statistics of transformed examples."""
        lists = ("categories", "means", "deviations", "weights")
        columns = []
        for entry in content["columns"]:
            found = {name: tuple(entry[name]) for name in lists if name in entry}
            columns.append(ColumnLayout(**{**entry, **found}))
        return cls(tuple(columns), tuple(content.get("constraints", ())))

    def to_json(self) -> dict[str, Any]:
        """The keys `columns` and `constraints`."""
        columns = [dataclasses.asdict(column) for column in self.columns]
        return {"columns": columns, "constraints": list(self.constraints)}

    @property
    def values(self) -> int:
        """How many values a row has beside its codes."""
        return sum(column.value is not None for column in self.columns)

    @property
    def sizes(self) -> list[int]:
        """How many codes each column has."""
        return [column.size for column in self.columns]

    def encode(
        self, table: pa.Table | pa.RecordBatch | pd.DataFrame
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Lays rows out as the transform graph does, without TensorFlow.

        Args:
            table: rows with the columns of the layout.

        Returns:
            `codes`, int64 [rows, columns], -1 for a category that training did not have; and
            `values`, float32 [rows, values], 0 where missing.
        """
        import numpy as np

        rows = len(table) if hasattr(table, "__len__") else table.num_rows
        codes = np.zeros((rows, len(self.columns)), np.int64)
        values = np.zeros((rows, self.values), np.float32)
        for place, column in enumerate(self.columns):
            if column.has_categories:
                codes[:, place] = _category_codes(table, column)
                continue
            codes[:, place], within = _modes(numbers(table, column.column), column)
            if column.value is not None:
                values[:, column.value] = within
        return codes, values

    def decode(
        self, codes: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]]
    ) -> pa.Table:
        """Turns codes and values back into rows of the source's own types.

        Args:
            codes: [rows, columns]; the unknown category becomes a missing value.
            values: [rows, values].
        """
        import pyarrow as pa

        arrays = [
            _category_array(codes[:, place], column)
            if column.has_categories
            else _number_array(codes[:, place], values, column)
            for place, column in enumerate(self.columns)
        ]
        return pa.table(arrays, names=[column.name for column in self.columns])


def score_inputs(names: Sequence[str]) -> dict[str, str]:
    """What the inputs of the signature `score` are called, for columns and their `.missing`.

    As the columns, where TensorFlow can take that: it calls inputs by letters of ASCII, digits and
    underscores, the first a letter. Elsewhere an underscore stands for each other character, and a
    number is added where two would be alike.

    Args:
        names: of the columns, each nullable one's followed by `NAME.missing`.
    """
    found = {name: name for name in names if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)}
    taken: set[str] = set()
    for name in list(found):
        if name.lower() in taken:
            del found[name]  # TensorFlow takes names that differ in case alone for the same.
        taken.add(name.lower())
    for number, name in enumerate(names):
        if name not in found:
            plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
            plain = plain if plain[:1].isalpha() else f"column_{plain.lstrip('_')}"
            found[name] = plain if plain.lower() not in taken else f"{plain}_{number}"
            taken.add(found[name].lower())
    return {name: found[name] for name in names}


def arrow_type(dtype: str) -> pa.DataType:
    """The Arrow type that a schema names, such as 'timestamp[us, tz=UTC]'.

    Raises:
        ValueError: Arrow has no such type.
    """
    import pyarrow as pa

    if dtype.startswith("timestamp["):
        unit, _, zone = dtype.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
        return pa.timestamp(unit, tz=zone or None)
    return pa.type_for_alias(dtype.partition("[")[0])


def category_texts(array: Any) -> list[str | None]:
    """Values of an Arrow array as the texts that categories are named by; None is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts: list[str | None] = pc.cast(array, pa.string()).to_pylist()
    return texts


def round_numbers(numbers: NDArray[np.float64], column: ColumnLayout) -> NDArray[np.float64]:
    """Brings numbers to the precision and into the range that training had."""
    import numpy as np

    if column.step is not None:
        numbers = np.round(numbers / column.step) * column.step
    elif column.decimals is not None:
        numbers = np.round(numbers, column.decimals)
    return np.clip(numbers, column.minimum, column.maximum)


def _category_codes(
    table: pa.Table | pa.RecordBatch | pd.DataFrame, column: ColumnLayout
) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow as pa

    if isinstance(table, pa.Table | pa.RecordBatch):
        array = table.column(column.name)
    else:
        array = pa.Array.from_pandas(table[column.name], type=arrow_type(column.dtype))
    known: dict[str | None, int] = {name: code for code, name in enumerate(column.categories)}
    if column.missing is not None:
        known[None] = column.missing
    unknown = -1 if column.unknown is None else column.unknown
    return np.array([known.get(text, unknown) for text in category_texts(array)], np.int64)


def _modes(
    found: NDArray[np.float64], column: ColumnLayout
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The most likely mode of each number, and where in it; see `ColumnLayout`."""
    import numpy as np

    absent = np.isnan(found)
    means = np.array(column.means, np.float64)
    distances = np.where(absent, means[0], found)[:, None] - means
    if column.value is None:
        codes = np.argmin(np.abs(distances), axis=1)
        within = np.zeros(len(found))
    else:
        deviations = np.array(column.deviations, np.float64)
        scaled = distances / deviations
        likely = np.log(np.array(column.weights)) - np.log(deviations) - scaled**2 / 2
        codes = np.argmax(likely, axis=1)
        within = np.clip(np.take_along_axis(scaled, codes[:, None], 1)[:, 0] / SPAN, -1, 1)
    missing = -1 if column.missing is None else column.missing
    return np.where(absent, missing, codes), np.where(absent, 0, within).astype(np.float32)


def _category_array(codes: NDArray[np.integer[Any]], column: ColumnLayout) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array(column.categories, pa.string())
    known = codes < len(column.categories)
    indices = pa.array(np.where(known, codes, 0), mask=~known)
    return pc.cast(names.take(indices), arrow_type(column.dtype))


def _number_array(
    codes: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]], column: ColumnLayout
) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    present = codes < len(column.means)
    chosen = np.where(present, codes, 0)
    found = np.array(column.means, np.float64)[chosen]
    if column.value is not None:
        deviations = np.array(column.deviations, np.float64)[chosen]
        found = found + values[:, column.value].astype(np.float64) * SPAN * deviations
    found = round_numbers(found, column)
    wanted = arrow_type(column.dtype)
    if column.kind == DATETIME:
        micros = pa.array(np.round(found * 1e6).astype(np.int64), mask=~present)
        zone = wanted.tz if pa.types.is_timestamp(wanted) else None
        return pc.cast(pc.cast(micros, pa.timestamp("us", tz=zone)), wanted)
    if pa.types.is_integer(wanted):
        found = np.round(found).astype(np.int64)
    assert column.kind == NUMERICAL
    return pc.cast(pa.array(found, mask=~present), wanted, safe=False)
