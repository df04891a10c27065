"""Writes batches of rows into a Parquet or CSV file that appears only when it is whole."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from serving.sampling.errors import SamplingError

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET, CSV = ".parquet", ".csv"


class TableFile:
    """A file that is written beside its place, and put there at the end of a `with` block.

    Args:
        path: ends in .parquet or .csv; a file that is there already is replaced.
        schema: of the batches.

    Raises:
        SamplingError: the path has another ending, or its folder does not let us write.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        check_path(path)
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._schema = schema
        self._writer: Any = None

    def __enter__(self) -> Self:
        import pyarrow.csv
        import pyarrow.parquet

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.suffix == PARQUET:
                self._writer = pyarrow.parquet.ParquetWriter(self._partial, self._schema)
            else:
                self._writer = pyarrow.csv.CSVWriter(self._partial, self._schema)
        except OSError as error:
            raise SamplingError(
                f"expected a place to write {self._path}. Received: {error}"
            ) from None
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows.

        Raises:
            SamplingError: they cannot be written, such as to a disk that is full.
        """
        try:
            self._writer.write_batch(batch)
        except OSError as error:
            raise SamplingError(f"expected to write {self._path}. Received: {error}") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
            if kind is None:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)


def check_path(path: Path) -> None:
    """Refuses a path of another kind of file.

    Raises:
        SamplingError: it is one.
    """
    if path.suffix not in (PARQUET, CSV):
        raise SamplingError(f"expected a file named *{PARQUET} or *{CSV}. Received: {path}")
    if path.is_dir():
        raise SamplingError(f"expected a file. Received: {path}, which is a folder")
