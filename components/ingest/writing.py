"""Writes examples as Parquet shards with a bounded part of them in memory."""

from __future__ import annotations

import datetime as dt
import functools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
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
# What a killed ingestion may leave beside the splits begins so.
SCRATCH = ".scratch-"
_TYPES = {
    "string": pa.string(),
    "binary": pa.binary(),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
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
        self._splits = {
            name: RowWriter(functools.partial(examples.shard_path, name), schema) for name in SPLITS
        }

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


class RowWriter:
    """Writes rows to one Parquet file after the other."""

    def __init__(self, path_of: Callable[[int], Path], schema: pa.Schema) -> None:
        """Writes nothing yet.

        Args:
            path_of: the path of each file by its number.
            schema: of the rows.
        """
        self._path_of, self._schema = path_of, schema
        self._pending: list[Any] = []
        self._pending_bytes = self._shard_bytes = self._bytes = self._rows = 0
        self._shards = 0
        self._writer: pq.ParquetWriter | None = None
        self._ends: list[dt.datetime] = []

    def write(self, piece: Any, rows: int, size: int, times: Iterable[dt.datetime | None]) -> None:
        """Adds a row, or a batch of them, of so many bytes of content."""
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
            path = self._path_of(self._shards)
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
        """Writes what is still in memory."""
        self._flush()
        self._end_shard()

    def info(self) -> SplitInfo:
        """What was written."""
        first, last = (time.isoformat() for time in self._ends) if self._ends else (None, None)
        return SplitInfo(self._rows, self._bytes, first, last)


class LaidDown:
    """Rows that one worker leaves in a folder for another."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        """Writes nothing yet."""
        self._writer = RowWriter(lambda number: folder / f"rows-{number:05d}.parquet", schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, row: dict[str, Any], size: int) -> None:
        """Adds a row of so many bytes of content."""
        self._writer.write(row, 1, size, [])

    @staticmethod
    def rows(folder: Path, at_once: int) -> Iterator[dict[str, Any]]:
        """Streams the rows of a folder, so many in memory at a time."""
        for path in sorted(folder.glob("rows-*.parquet")):
            with pq.ParquetFile(path) as reader:
                for batch in reader.iter_batches(at_once):
                    yield from batch.to_pylist()


def clear(examples: Examples) -> None:
    """Removes what an earlier ingestion wrote, first of all what says that it is complete."""
    examples.manifest_path.unlink(missing_ok=True)
    for split in SPLITS:
        shutil.rmtree(examples.path / split, ignore_errors=True)
    for left in examples.path.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    examples.path.mkdir(parents=True, exist_ok=True)


def joined(one: dict[str, SplitInfo], two: dict[str, SplitInfo]) -> dict[str, SplitInfo]:
    """What the splits of two parts hold together."""
    return {name: _joined(one[name], two[name]) if name in one else two[name] for name in two}


def _joined(one: SplitInfo, two: SplitInfo) -> SplitInfo:
    first = [time for time in (one.first_time, two.first_time) if time]
    last = [time for time in (one.last_time, two.last_time) if time]
    return SplitInfo(
        one.rows + two.rows,
        one.bytes + two.bytes,
        min(first, key=dt.datetime.fromisoformat, default=None),
        max(last, key=dt.datetime.fromisoformat, default=None),
    )


def _table(pieces: Sequence[Any], schema: pa.Schema) -> pa.Table:
    if isinstance(pieces[0], pa.RecordBatch):
        return pa.Table.from_batches(pieces).combine_chunks()
    return pa.Table.from_pylist(pieces, schema)
