"""Writes examples as Parquet shards with a bounded part of them in memory."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.artifacts import SPLITS, Examples, SplitInfo
from components.ingest.documents import Document

SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("document_id", pa.string()),
        ("position", pa.int32()),
        ("text", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
    ]
)

# Bytes of content in memory before a row group is written, and in a shard before the next begins.
_GROUP_BYTES = 4 << 20
_SHARD_BYTES = 64 << 20


class SeenTexts:
    """The digests of all texts so far, on disk, so that memory stays flat."""

    def __enter__(self) -> Self:
        descriptor, self._path = tempfile.mkstemp(suffix=".sqlite")
        os.close(descriptor)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8192"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
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

    def add(self, digest: bytes) -> bool:
        """Remembers a digest; False where it was there before."""
        cursor = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,))
        return cursor.rowcount == 1


class ShardWriter:
    """Writes rows to the shards of their splits."""

    def __init__(self, examples: Examples, schema: pa.Schema = SCHEMA) -> None:
        """Writes below `examples`, whose split folders must not exist.

        Args:
            examples: written to.
            schema: of the rows.
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

    def write(
        self, split: str, example_id: str, document: Document, position: int, text: str
    ) -> None:
        """Adds one text."""
        row = {
            "example_id": example_id,
            "document_id": document.document_id,
            "position": position,
            "text": text,
            "event_time": document.event_time,
        }
        self.add(split, row, len(text.encode()))

    def add(self, split: str, row: dict[str, Any], size: int) -> None:
        """Adds one row.

        Args:
            split: where to.
            row: column -> value; of them `event_time`, a datetime or None, is noted.
            size: bytes of its content.
        """
        self._splits[split].write(row, size, row["event_time"])

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """What was written."""
        return {name: split.info() for name, split in self._splits.items()}


class _SplitWriter:
    def __init__(self, examples: Examples, split: str, schema: pa.Schema) -> None:
        self._examples, self._split, self._schema = examples, split, schema
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = self._shard_bytes = self._bytes = self._rows = 0
        self._shards = 0
        self._writer: pq.ParquetWriter | None = None
        self._first: dt.datetime | None = None
        self._last: dt.datetime | None = None

    def write(self, row: dict[str, Any], size: int, time: dt.datetime | None) -> None:
        self._pending.append(row)
        self._pending_bytes += size
        self._bytes += size
        self._rows += 1
        if time is not None:
            self._first = time if self._first is None else min(self._first, time)
            self._last = time if self._last is None else max(self._last, time)
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
        self._writer.write_table(pa.Table.from_pylist(self._pending, self._schema))
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
        times = [time.isoformat() if time else None for time in (self._first, self._last)]
        return SplitInfo(self._rows, self._bytes, times[0], times[1])
