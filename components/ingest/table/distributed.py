"""How workers read and write the rows of a part of a table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.artifacts import CURRENT, PROVENANCE, TRAIN, Examples
from components.ingest.spread import DIGEST_BYTES, Reading
from components.ingest.table.reading import READ, Reader, Rows
from components.ingest.table.rows import TIME_TYPE
from components.ingest.table.shards import Written, write
from components.ingest.table.sources import TablePart
from components.ingest.table.splitting import TableSplitter

# No column of a table has these names.
_DIGEST, _TIME = "example_id", "event_time"
_FILE = "rows.parquet"


@dataclasses.dataclass(frozen=True)
class TableWork:
    """Reads rows, and writes them."""

    reader: Reader
    splitter: TableSplitter

    def read(self, part: TablePart, rows: Path) -> Reading:
        """Lays the rows of a part that are kept down; its note is how many were read.

        In one process, a batch is numbered era by era: so are its rows here.
        """
        digests, turns = bytearray(), [np.zeros(0, np.int64)]
        counts: Counter[str] = Counter()
        with pq.ParquetWriter(rows / _FILE, self._schema(), compression="zstd") as writer:
            for batch in self.reader.rows(part, counts):
                eras = self.splitter.kept(batch.times, batch.numbers)
                places = {era: mask.nonzero()[0] for era, mask in eras.items()}
                taken = np.concatenate([places[era] for era in (TRAIN, CURRENT) if era in places])
                if not len(taken):
                    continue
                kept = [batch.digests[place] for place in taken]
                digests += b"".join(digest[:DIGEST_BYTES] for digest in kept)
                later = np.arange(len(taken)) >= len(places[TRAIN])
                turns.append(2 * batch.turns[taken] + later)
                columns = [*batch.columns.columns, batch.times, batch.tags]
                arrays = [column.take(pa.array(taken)) for column in columns]
                writer.write_batch(
                    pa.record_batch([pa.array(kept, pa.binary(32)), *arrays], schema=self._schema())
                )
        return Reading(bytes(digests), counts[READ], np.concatenate(turns))

    def write(self, rows: Path, repeats: dict[int, int], examples: Examples) -> Written:
        """Writes the shards of a part."""
        return write(
            self._laid_down(rows),
            lambda some, place: repeats.get(some.first + place, 0),
            self.splitter,
            self.reader,
            examples,
            told=False,
        )

    def _laid_down(self, folder: Path) -> Iterator[Rows]:
        """The rows in the batches that they were read in."""
        first = 0
        names = list(self.reader.types)
        with pq.ParquetFile(folder / _FILE) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group).combine_chunks()
                (batch,) = table.to_batches()
                yield Rows(
                    batch.select(names),
                    batch.column(_TIME),
                    batch.column(PROVENANCE),
                    batch.column(_DIGEST).to_pylist(),
                    np.zeros(0, np.int64),
                    first,
                )
                first += batch.num_rows

    def _schema(self) -> pa.Schema:
        fields = [(_DIGEST, pa.binary(32)), *self.reader.types.items()]
        return pa.schema([*fields, (_TIME, TIME_TYPE), (PROVENANCE, pa.string())])
