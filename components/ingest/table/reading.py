"""Reads the rows of a table: in their types, with their times, digests and makers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.ingest.table.inference import convert
from components.ingest.table.options import IngestTableOptions
from components.ingest.table.rows import TIME_TYPE, event_times, numbers_of, row_digests
from components.ingest.table.sources import Batch
from components.ingest.table.splitting import SmallestNumbers, TableSplitter
from components.provenance import parse as parse_provenance

READ = "read"


class Batches(Protocol):
    """A table, or a part of one."""

    def batches(self, names: list[str]) -> Iterator[Batch]:
        """Streams some columns."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a table.

    Attributes:
        columns: those that are kept, in their types.
        times, tags: when each row was, and who made it; null where unknown.
        digests: 32 bytes for each row.
        turns: int64 [rows], as `sources.Batch` has it; empty in one process.
        first: the number of the first row among those that a worker laid down.
    """

    columns: pa.RecordBatch
    times: pa.Array
    tags: pa.Array
    digests: list[bytes]
    turns: NDArray[np.int64]
    first: int = 0

    @property
    def numbers(self) -> NDArray[np.uint64]:
        """Four numbers for each row, spread evenly; uint64 [rows, 4]."""
        return numbers_of(self.digests)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads a table, or a part of one.

    Attributes:
        options: the columns of time and provenance, and who made the rows otherwise.
        present: all columns of the source.
        types: of the columns that are kept.
    """

    options: IngestTableOptions
    present: list[str]
    types: dict[str, pa.DataType]

    def rows(self, part: Batches, counts: Counter[str] | None = None) -> Iterator[Rows]:
        """Streams rows.

        Args:
            part: a table, or a part of one.
            counts: counts the rows that there were, as `READ`.

        Raises:
            DataError: a file cannot be read, or a value does not fit.
        """
        time, tagged = self.options.time_column, self.options.provenance_column
        names = list(self.types)
        needed = [*names, *([time] if time and time not in names else [])]
        if tagged in self.present and tagged not in needed:
            needed.append(tagged)
        for batch in part.batches(needed):
            if not batch.rows.num_rows:
                continue
            if counts is not None:
                counts[READ] += batch.rows.num_rows
            columns = dict(zip(needed, batch.rows.columns, strict=True))
            arrays = [convert(columns[name], self.types[name], name, batch.where) for name in names]
            kept = pa.record_batch(arrays, names=names)
            if time:
                column = kept.column(time) if time in names else columns[time]
                times = event_times(column, time, batch.where)
            else:
                times = pa.nulls(kept.num_rows, TIME_TYPE)
            tags = self._provenance(columns.get(tagged), kept.num_rows, batch.where)
            turns = np.zeros(0, np.int64) if batch.turns is None else batch.turns
            yield Rows(kept, times, tags, row_digests(kept), turns)

    def smallest(self, part: Batches) -> dict[str, SmallestNumbers]:
        """Of each era the numbers that say which rows are kept, where there are too many."""
        splitter = TableSplitter(self.options)
        smallest: dict[str, SmallestNumbers] = {}
        for rows in self.rows(part):
            numbers = rows.numbers[:, 0]
            for era, mask in splitter.eras(rows.times).items():
                kept = smallest.setdefault(era, SmallestNumbers(self.options.max_rows))
                kept.add(numbers[mask])
        return smallest

    def _provenance(self, column: pa.Array | None, rows: int, where: str) -> pa.Array:
        """Who made each row: what the source says, or else the configuration."""
        otherwise = self.options.made_by or None
        if column is None:
            return pa.array([otherwise] * rows, pa.string())
        name = self.options.provenance_column
        # Few tags stand in many rows.
        read = {tag: parse_provenance(tag, where, name) for tag in column.unique().to_pylist()}
        tags = [read[tag] or otherwise for tag in column.to_pylist()]
        return pa.array(tags, pa.string())
