"""How workers read and write the documents of a part."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path

from components.artifacts import Examples
from components.ingest import passages
from components.ingest.documents import Splitter
from components.ingest.options import IngestOptions
from components.ingest.sources import Part
from components.ingest.spread import Reading
from components.ingest.writing import LaidDown, schema

_ROWS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class TextWork:
    """Reads documents, and writes their paragraphs."""

    options: IngestOptions
    splitter: Splitter

    def read(self, part: Part, rows: Path) -> Reading:
        """Lays the paragraphs of a part down; its note counts documents by split."""
        documents: Counter[str | None] = Counter()
        digests = bytearray()
        with LaidDown(rows, schema(passages.COLUMNS)) as laid:
            for row in passages.read(part, self.options, self.splitter, documents):
                digests += bytes.fromhex(row["example_id"])
                laid.add(row, len(row["text"].encode()))
        return Reading(bytes(digests), documents)

    def write(self, rows: Path, repeats: dict[int, int], examples: Examples) -> passages.Written:
        """Writes the shards of a part."""
        numbers = itertools.count()
        laid = LaidDown.rows(rows, _ROWS_AT_ONCE)
        return passages.write(
            laid, lambda _: repeats.get(next(numbers), 0), self.splitter, examples, told=False
        )
