"""Writes the rows that pass as examples, and those that fail with what they failed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Set
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.artifacts import Examples, Rejected, SplitInfo
from components.validate.suite import Outcome


class RejectedWriter:
    """Collects the rows that failed, in one Parquet file that is there even without any."""

    def __init__(self, rejected: Rejected, schema: pa.Schema) -> None:
        """Opens the file.

        Args:
            rejected: written to.
            schema: of the examples.
        """
        rejected.path.mkdir(parents=True, exist_ok=True)
        for name in ("split", "expectation", "reason"):
            schema = schema.append(pa.field(name, pa.string()))
        self._schema = schema.remove_metadata()
        self._writer = pq.ParquetWriter(rejected.rows_path, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def write(self, split: str, table: pa.Table, broken: Mapping[int, list[Outcome]]) -> None:
        """Adds the failing rows of a shard, each once, with all that it broke."""
        if not broken:
            return
        indices = sorted(broken)
        rows = table.take(indices)
        kinds = ["; ".join(outcome.kind for outcome in broken[row]) for row in indices]
        reasons = [" ".join(outcome.description for outcome in broken[row]) for row in indices]
        for name, values in (
            ("split", [split] * len(indices)),
            ("expectation", kinds),
            ("reason", reasons),
        ):
            rows = rows.append_column(name, pa.array(values, pa.string()))
        self._writer.write_table(rows.cast(self._schema))


class PassingWriter:
    """Writes the shards of the rows that pass; unchanged shards are linked, not copied."""

    def __init__(self, validated: Examples) -> None:
        """Replaces what the folder held before."""
        self._validated = validated
        validated.manifest_path.unlink(missing_ok=True)
        self._shards: dict[str, int] = {}
        self._infos: dict[str, SplitInfo] = {}

    def start(self, split: str) -> None:
        """Begins a split, which may stay empty."""
        shutil.rmtree(self._validated.path / split, ignore_errors=True)
        self._shards[split] = 0
        self._infos[split] = SplitInfo(0, 0, None, None)

    def write(
        self, split: str, shard: Path, table: pa.Table, broken: Mapping[int, list[Outcome]]
    ) -> None:
        """Adds what remains of a shard."""
        if len(broken) == table.num_rows:
            return
        path = self._validated.shard_path(split, self._shards[split])
        path.parent.mkdir(parents=True, exist_ok=True)
        self._shards[split] += 1
        if broken:
            keep = [row not in broken for row in range(table.num_rows)]
            table = table.filter(pa.array(keep))
            pq.write_table(table, path, compression="zstd")
        else:
            _link(shard, path)
        self._infos[split] = _joined(self._infos[split], _info(table))

    def remove(
        self, split: str, example_ids: Set[str], rejected: RejectedWriter, outcome: Outcome
    ) -> None:
        """Takes rows out again that were written, and adds them to those that failed.

        Args:
            split: that they are in.
            example_ids: theirs.
            rejected: takes them.
            outcome: what they broke.
        """
        shards = self._validated.shards(split)
        self._infos[split] = SplitInfo(0, 0, None, None)
        for shard in shards:
            table = pq.read_table(shard)
            ids = table.column("example_id").to_pylist()
            broken = {row: [outcome] for row, one in enumerate(ids) if one in example_ids}
            rejected.write(split, table, broken)
            if broken:
                # It may be a link to the shard that was read.
                shard.unlink()
                table = table.filter(pa.array([row not in broken for row in range(len(ids))]))
            if broken and table.num_rows:
                pq.write_table(table, shard, compression="zstd")
            if table.num_rows:
                self._infos[split] = _joined(self._infos[split], _info(table))

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """What was written."""
        return self._infos


def _link(source: Path, destination: Path) -> None:
    with contextlib.suppress(OSError):
        os.link(source, destination)
        return
    shutil.copyfile(source, destination)


def _info(table: pa.Table) -> SplitInfo:
    size = table.nbytes
    if "text" in table.schema.names:
        size = pc.sum(pc.binary_length(table.column("text"))).as_py()
    first = last = None
    if "event_time" in table.schema.names:
        times = pc.min_max(table.column("event_time"))
        first, last = (
            time.as_py().isoformat() if time.is_valid else None
            for time in (times["min"], times["max"])
        )
    return SplitInfo(table.num_rows, size or 0, first, last)


def _joined(one: SplitInfo, two: SplitInfo) -> SplitInfo:
    firsts = [time for time in (one.first_time, two.first_time) if time]
    lasts = [time for time in (one.last_time, two.last_time) if time]
    return SplitInfo(
        one.rows + two.rows,
        one.bytes + two.bytes,
        min(firsts, default=None),
        max(lasts, default=None),
    )
