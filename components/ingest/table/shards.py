"""Writes the rows of a table to the shards of their splits, and learns what the columns hold."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Self

import pyarrow as pa

from components.artifacts import CURRENT, EVAL, PROVENANCE, TRAIN, Examples, SplitInfo
from components.ingest.table.profile import Profile
from components.ingest.table.reading import Reader, Rows
from components.ingest.table.rows import TIME_TYPE
from components.ingest.table.splitting import TableSplitter
from components.ingest.writing import ShardWriter, joined

_REPORT_EVERY = 100_000

# How often the content of a row, given by its place among some, was there before.
CameBefore = Callable[[Rows, int], int]


def schema_of(types: dict[str, pa.DataType]) -> pa.Schema:
    """The schema of examples with columns of these types."""
    fields = [("example_id", pa.string()), ("document_id", pa.string())]
    return pa.schema(
        [*fields, *types.items(), ("event_time", TIME_TYPE), (PROVENANCE, pa.string())]
    )


@dataclasses.dataclass
class Written:
    """What was written of a table, or of a part of it.

    Attributes:
        profiles: what each column holds.
        splits: by name.
        trained: training rows that have a value, by column.
        held: the smallest and the largest number, which decide on holding out, of the training
            era; empty where it has no row.
        rows: how many were written.
    """

    profiles: list[Profile]
    splits: dict[str, SplitInfo] = dataclasses.field(default_factory=dict)
    trained: Counter[str] = dataclasses.field(default_factory=Counter)
    held: list[int] = dataclasses.field(default_factory=list)
    rows: int = 0

    @classmethod
    def nothing(cls, reader: Reader) -> Self:
        """Before the first row."""
        categorical = reader.options.categorical
        return cls(
            [Profile(name, kind, name in categorical) for name, kind in reader.types.items()]
        )

    def note(self, split: str, columns: pa.RecordBatch, held: Any) -> None:
        """Takes in rows of a split, and the numbers that decide on holding them out."""
        for profile, column in zip(self.profiles, columns.columns, strict=True):
            profile.add(column)
            if split == TRAIN:
                self.trained[profile.name] += len(column) - column.null_count
        if split != CURRENT:
            self._widen([int(held.min()), int(held.max())])
        self.rows += columns.num_rows

    def _widen(self, ends: list[int]) -> None:
        both = [*self.held, *ends]
        self.held = [min(both), max(both)] if both else []

    def mended(self, splitter: TableSplitter) -> bool:
        """Moves the bound to the nearest row where the digests left `train` or `eval` empty."""
        if not self.held or self.held[0] == self.held[1]:
            return False
        if not self.splits[EVAL].rows:
            splitter.held_out_below = self.held[0] + 1
        elif not self.splits[TRAIN].rows:
            splitter.held_out_below = self.held[1]
        else:
            return False
        return True

    def join(self, parts: Iterable[Self]) -> Self:
        """Takes in what parts have."""
        for part in parts:
            for profile, other in zip(self.profiles, part.profiles, strict=True):
                profile.join(other)
            self.splits = joined(self.splits, part.splits)
            self.trained.update(part.trained)
            self._widen(part.held)
            self.rows += part.rows
        return self


def write(
    batches: Iterable[Rows],
    came_before: CameBefore,
    splitter: TableSplitter,
    reader: Reader,
    examples: Examples,
    told: bool = True,
) -> Written:
    """Writes the shards of rows.

    Args:
        batches: the rows.
        came_before: asked once for each row that is kept, split by split.
        splitter: decides what is kept, and the split of each row.
        reader: knows the columns.
        examples: written to.
        told: whether progress is printed.
    """
    schema = schema_of(reader.types)
    written = Written.nothing(reader)
    with ShardWriter(examples, schema) as writer:
        for rows in batches:
            numbers = rows.numbers
            for split, mask in splitter.splits(rows.times, numbers).items():
                places = mask.nonzero()[0]
                if not len(places):
                    continue
                ids = [
                    _example_id(rows.digests[at], came_before(rows, at)) for at in places.tolist()
                ]
                named, taken = pa.array(ids, pa.string()), pa.array(places)
                kept = rows.columns.take(taken)
                others = [column.take(taken) for column in (rows.times, rows.tags)]
                columns = [named, named, *kept.columns, *others]
                writer.write_batch(split, pa.record_batch(columns, schema=schema))
                before = written.rows // _REPORT_EVERY
                written.note(split, kept, numbers[places, 1])
                if told and written.rows // _REPORT_EVERY > before:
                    print(f"progress: {written.rows:,} rows", flush=True)
    written.splits = writer.splits
    return written


def _example_id(digest: bytes, before: int) -> str:
    """The digest of a row's content; for a further row of the same content, of its number too."""
    if before:
        digest = hashlib.sha256(digest + str(before).encode()).digest()
    return digest[:16].hex()
