"""Writes examples as Parquet shards with a bounded part of them in memory."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.artifacts import SPLITS, Examples, SplitInfo

# Bytes of content in memory before a row group is written, and in a shard before the next begins.
_GROUP_BYTES = 4 << 20
_SHARD_BYTES = 64 << 20
_TYPES = {
    "string": pa.string(),
    "binary": pa.binary(),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
}


def schema(columns: dict[str, str]) -> pa.Schema:
    """The schema of columns that are named as a manifest names them."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])


class Occurrences:
    """How often each example came so far, on disk, so that memory stays flat."""

    def __enter__(self) -> Self:
        descriptor, self._path = tempfile.mkstemp(suffix=".sqlite")
        os.close(descriptor)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8192"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute(
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()
        Path(self._path).unlink()

    def add(self, digest: bytes) -> int:
        """Remembers a digest; how often it was there before."""
        cursor = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, 0)", (digest,))
        if cursor.rowcount:
            return 0
        times: int = self._database.execute(
            "UPDATE seen SET times = times + 1 WHERE digest = ? RETURNING times", (digest,)
        ).fetchone()[0]
        return times


class ShardWriter:
    """Writes rows to the shards of their splits."""

    def __init__(self, examples: Examples, schema: pa.Schema) -> None:
        """Writes below `examples`, whose split folders must not exist.

        Args:
            examples: written to.
            schema: of the rows, `event_time` among them.
        """
        self._splits = {name: _SplitWriter(examples, name, schema) for name in SPLITS}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for split in self._splits.values():
            split.close()

    def write(self, split: str, row: dict[str, Any], size: int) -> None:
        """Adds a row of so many bytes of content to a split."""
        self._splits[split].write(row, 1, size, [row["event_time"]])

    def write_batch(self, split: str, rows: pa.RecordBatch) -> None:
        """Adds rows to a split; one split is given either these or single rows."""
        if rows.num_rows:
            times = pc.min_max(rows.column("event_time")).as_py().values()
            self._splits[split].write(rows, rows.num_rows, rows.nbytes, times)

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """What was written."""
        return {name: split.info() for name, split in self._splits.items()}


class _SplitWriter:
    def __init__(self, examples: Examples, split: str, schema: pa.Schema) -> None:
        self._examples, self._split, self._schema = examples, split, schema
        self._pending: list[Any] = []
        self._pending_bytes = self._shard_bytes = self._bytes = self._rows = 0
        self._shards = 0
        self._writer: pq.ParquetWriter | None = None
        self._ends: list[dt.datetime] = []

    def write(self, piece: Any, rows: int, size: int, times: Iterable[dt.datetime | None]) -> None:
        self._pending.append(piece)
        self._pending_bytes += size
        self._bytes += size
        self._rows += rows
        known = [*self._ends, *(time for time in times if time is not None)]
        self._ends = [min(known), max(known)] if known else []
        if self._pending_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            path = self._examples.shard_path(self._split, self._shards)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
            self._shards += 1
        self._writer.write_table(_table(self._pending, self._schema))
        self._shard_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        if self._shard_bytes >= _SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._shard_bytes = None, 0

    def close(self) -> None:
        self._flush()
        self._end_shard()

    def info(self) -> SplitInfo:
        first, last = (time.isoformat() for time in self._ends) if self._ends else (None, None)
        return SplitInfo(self._rows, self._bytes, first, last)


def _table(pieces: Sequence[Any], schema: pa.Schema) -> pa.Table:
    if isinstance(pieces[0], pa.RecordBatch):
        return pa.Table.from_batches(pieces).combine_chunks()
    return pa.Table.from_pylist(pieces, schema)
