"""How workers read and write the images of a part."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path

from components.artifacts import Examples
from components.ingest.image import looking
from components.ingest.image.pictures import Part
from components.ingest.spread import Reading
from components.ingest.writing import LaidDown, schema

_COLUMNS = {**looking.COLUMNS, looking.HELD_OUT: "bool"}
_ROWS_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class ImageWork:
    """Reads images, and writes them."""

    reader: looking.Reader

    def read(self, part: Part, rows: Path) -> Reading:
        """Lays the images of a part down; its note counts what there was."""
        reader = dataclasses.replace(self.reader, counts=Counter())
        digests = bytearray()
        with LaidDown(rows, schema(_COLUMNS)) as laid:
            for row in reader.rows(part):
                digests += bytes.fromhex(row["example_id"])
                laid.add(row, len(row["image"]))
        return Reading(bytes(digests), reader.counts)

    def write(self, rows: Path, repeats: dict[int, int], examples: Examples) -> looking.Written:
        """Writes the shards of a part."""
        numbers = itertools.count()
        return looking.write(
            LaidDown.rows(rows, _ROWS_AT_ONCE),
            lambda _: repeats.get(next(numbers), 0),
            self.reader.splitter,
            examples,
            told=False,
        )
