"""Readers of the file formats that hold tables; each streams one file."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.errors import DataError
from components.ingest.parts import groups_of

# Of a CSV file in memory at a time, and rows of a Parquet file.
_BLOCK_BYTES = 1 << 20
_BATCH_ROWS = 8192


class TableFile(Protocol):
    """One file of a table."""

    path: Path
    names: list[str]

    def types(self) -> dict[str, pa.DataType] | None:
        """The types that the file declares, or None where all its values are texts."""

    def batches(
        self, names: Sequence[str], row_groups: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Streams some columns in the order of `names`, each batch with the number before it.

        Args:
            names: of the columns.
            row_groups: of a Parquet file: the first one and the one after the last.

        Yields:
            How many rows of the file stand before a batch, and the batch.

        Raises:
            DataError: the file cannot be read.
        """

    def turns(self, count: int, before: int, rows: int) -> NDArray[np.int64]:
        """The number of the batch of the whole file that has each row of a batch.

        Args:
            count: batches that came before it.
            before: rows of the file that stand before it.
            rows: of the batch.

        Returns:
            int64 [rows].
        """


def open_table(path: Path, missing_values: Sequence[str]) -> TableFile:
    """Opens a file by its ending.

    Raises:
        DataError: it cannot be read, or has two columns of one name.
    """
    parquet = path.suffix.lower() == ".parquet"
    file: TableFile = ParquetTable(path) if parquet else CsvTable(path, missing_values)
    repeated = sorted({name for name in file.names if file.names.count(name) > 1})
    if repeated:
        raise DataError(
            f"expected columns of different names in {path}. Received twice: {', '.join(repeated)}"
        )
    return file


class CsvTable:
    """A CSV file whose first line names the columns, plain or compressed; all values are texts."""

    def __init__(self, path: Path, missing_values: Sequence[str]) -> None:
        """Reads the first line."""
        self.path = path
        self._missing = list(missing_values)
        with _readable(path), self._open() as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            self.names = next(csv.reader(lines), [])
        if not self.names:
            raise DataError(
                f"expected a first line with the columns' names in {path}. Received: an empty file"
            )

    def types(self) -> None:
        return None

    def batches(
        self, names: Sequence[str], row_groups: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        options = {
            "read_options": pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            "parse_options": pa_csv.ParseOptions(newlines_in_values=True),
            "convert_options": pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=list(names),
                null_values=self._missing,
                strings_can_be_null=True,
            ),
        }
        with _readable(self.path), self._open() as stream:
            try:
                before = 0
                with pa_csv.open_csv(stream, **options) as reader:
                    for batch in reader:
                        yield before, batch
                        before += batch.num_rows
            except pa.ArrowInvalid as error:
                raise DataError(self._complaint(error)) from None

    def turns(self, count: int, before: int, rows: int) -> NDArray[np.int64]:
        return np.full(rows, count, np.int64)  # It is read as a whole.

    def _complaint(self, error: Exception) -> str:
        """Says where a file is not the CSV that it should be."""
        with self._open() as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
            reader = csv.reader(lines)
            for row in reader:
                if row and len(row) != len(self.names):
                    return (
                        f"expected {len(self.names)} columns in every row of {self.path}. "
                        f"Received: {len(row)} in line {reader.line_num}"
                    )
        reason = " ".join(str(error).split())
        return f"expected CSV in UTF-8 at {self.path}. Received: {reason}"

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        name = self.path.name.lower()
        if name.endswith(".zip"):
            with zipfile.ZipFile(self.path) as archive:
                inside = [entry for entry in archive.namelist() if entry.lower().endswith(".csv")]
                if len(inside) != 1:
                    raise DataError(
                        f"expected one .csv in {self.path}. Received: {len(inside)} of them"
                    )
                with archive.open(inside[0]) as stream:
                    yield cast(BinaryIO, stream)
        elif name.endswith(".gz"):
            with gzip.open(self.path) as stream:
                yield cast(BinaryIO, stream)
        else:
            with self.path.open("rb") as stream:
                yield stream


class ParquetTable:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        """Reads the schema."""
        self.path = path
        with _readable(path):
            self._schema = pq.read_schema(path)
        self.names = list(self._schema.names)

    def types(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for field in self._schema}

    def batches(
        self, names: Sequence[str], row_groups: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        with _readable(self.path), pq.ParquetFile(self.path) as reader:
            groups, before = groups_of(reader, row_groups)
            columns = list(names)
            for batch in reader.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
                yield before, batch.select(columns)
                before += batch.num_rows

    def turns(self, count: int, before: int, rows: int) -> NDArray[np.int64]:
        # The row groups of a share need not begin where a batch does.
        return np.arange(before, before + rows, dtype=np.int64) // _BATCH_ROWS


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 text in {path}. Received: {error}") from None
    except (pa.ArrowException, OSError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"expected a readable table at {path}. Received: {reason}") from None
