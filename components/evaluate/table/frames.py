"""Rows as a table of arrays that every measure reads: numbers, and codes of what is in a cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.table_layout import category_texts
from components.table_schema import BOOLEAN, CATEGORICAL, Column, TableSchema, numbers

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
BINS = 10  # As SDMetrics cuts numbers for its contingency similarity.


def is_number(column: Column) -> bool:
    """Whether a column is one of numbers or datetimes."""
    return column.kind not in (CATEGORICAL, BOOLEAN)


@dataclasses.dataclass(frozen=True)
class Frame:
    """Rows of a table.

    Attributes:
        columns: of the schema, in order.
        values: float64 [rows, columns]: numbers, seconds since 1970, or the code of a category;
            NaN where missing.
        cells: int64 [rows, columns]: the category, or the tenth of the reference's range that a
            number lies in; the last code is a missing value, the one before it what the
            reference has not.
        sizes: number of codes of each column.
    """

    columns: Sequence[Column]
    values: Floats
    cells: Codes
    sizes: Sequence[int]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: npt.NDArray[np.int64]) -> Frame:
        """Some of the rows."""
        return dataclasses.replace(self, values=self.values[rows], cells=self.cells[rows])


class Framer:
    """Lays tables out alike: categories and ranges are those of the reference.

    Args:
        schema: of the table.
        reference: real rows.
    """

    def __init__(self, schema: TableSchema, reference: pa.Table) -> None:
        self._schema = schema
        self._known: dict[str, dict[str, int]] = {}
        self._edges: dict[str, Floats] = {}
        for column in schema.columns:
            if is_number(column):
                found = numbers(reference, column)
                present = found[~np.isnan(found)]
                if len(present) == 0:
                    present = np.zeros(1)
                self._edges[column.name] = np.histogram_bin_edges(present, BINS)
            else:
                texts = category_texts(reference.column(column.name).combine_chunks())
                names = sorted({text for text in texts if text is not None})
                self._known[column.name] = {name: code for code, name in enumerate(names)}

    @property
    def names(self) -> list[list[str]]:
        """The categories of each column, in the order of their codes; none for numbers."""
        return [list(self._known.get(column.name, ())) for column in self._schema.columns]

    def frame(self, table: pa.Table) -> Frame:
        """Lays out a table that has the columns of the schema."""
        values, cells, sizes = [], [], []
        for column in self._schema.columns:
            one, codes, size = (
                self._number(table, column) if is_number(column) else self._category(table, column)
            )
            values.append(one)
            cells.append(codes)
            sizes.append(size)
        return Frame(self._schema.columns, np.stack(values, 1), np.stack(cells, 1), sizes)

    def _number(self, table: pa.Table, column: Column) -> tuple[Floats, Codes, int]:
        found = numbers(table, column)
        edges = self._edges[column.name]
        inside = np.clip(np.searchsorted(edges, found, side="right") - 1, 0, BINS - 1)
        return found, np.where(np.isnan(found), BINS + 1, inside), BINS + 2

    def _category(self, table: pa.Table, column: Column) -> tuple[Floats, Codes, int]:
        known = self._known[column.name]
        other, missing = len(known), len(known) + 1
        texts = category_texts(table.column(column.name).combine_chunks())
        codes = np.array(
            [missing if text is None else known.get(text, other) for text in texts], np.int64
        )
        return np.where(codes == missing, np.nan, codes), codes, missing + 1


def independent(frame: Frame, rows: int, seed: int) -> Frame:
    """The naive baseline: every column drawn for itself, with nothing between them.

    Args:
        frame: training rows.
        rows: how many to draw.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    places = generator.integers(len(frame), size=(rows, len(frame.columns)))
    take = np.take_along_axis
    return dataclasses.replace(
        frame, values=take(frame.values, places, 0), cells=take(frame.cells, places, 0)
    )
