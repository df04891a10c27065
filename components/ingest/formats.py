"""Readers of the file formats that hold documents; each streams one file."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from components.errors import DataError
from components.ingest.documents import Document, parse_time
from components.ingest.parts import groups_of
from components.provenance import parse as parse_provenance

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Rows of a Parquet file in memory at a time.
_BATCH_ROWS = 256

Reader = Callable[[str, Path, str, str, str], Iterator[Document]]


def read_lines(path: Path) -> Iterator[str]:
    """Streams the lines of a UTF-8 file, ends included.

    Raises:
        DataError: the file cannot be read, or holds bytes that are not UTF-8.
    """
    offset = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                start = len(_BYTE_ORDER_MARK) * (offset == 0 and line.startswith(_BYTE_ORDER_MARK))
                yield line[start:].decode("utf-8")
                offset += len(line)
    except UnicodeDecodeError as error:
        raise DataError(
            f"expected UTF-8 text in {path}. Received: byte 0x{error.object[error.start]:02x} at "
            f"offset {offset + start + error.start}; convert the file"
        ) from None
    except OSError as error:
        raise DataError(f"expected a readable file. Received: {error}") from None


def read_text(
    name: str, path: Path, text_column: str, time_column: str, provenance_column: str = ""
) -> Iterator[Document]:
    """Yields a whole .txt file as one document; it has no columns, and so no time."""
    yield Document(name, read_lines(path))


def read_csv(
    name: str, path: Path, text_column: str, time_column: str, provenance_column: str = ""
) -> Iterator[Document]:
    """Yields the rows of a CSV file whose first line names the columns."""
    # The default refuses fields beyond 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows = csv.DictReader(read_lines(path), strict=True)
    try:
        _need_columns(path, rows.fieldnames or [], text_column, time_column)
        for index, row in enumerate(rows):
            where = f"{path}:{rows.line_num}"
            yield _document(
                f"{name}:{index}", where, row, text_column, time_column, provenance_column
            )
    except csv.Error as error:
        raise DataError(f"expected CSV at {path}:{rows.line_num}. Received: {error}") from None


def read_jsonl(
    name: str, path: Path, text_column: str, time_column: str, provenance_column: str = ""
) -> Iterator[Document]:
    """Yields the objects of a file with one JSON object per line; blank lines are skipped."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"expected a JSON object at {where}. Received: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"expected a JSON object at {where}. Received: {type(row).__name__}")
        _need_columns(where, list(row), text_column, time_column)
        yield _document(
            f"{name}:{number - 1}", where, row, text_column, time_column, provenance_column
        )


def read_parquet(
    name: str,
    path: Path,
    text_column: str,
    time_column: str,
    provenance_column: str = "",
    row_groups: tuple[int, int] | None = None,
) -> Iterator[Document]:
    """Yields the rows of a Parquet file, or those of the row groups of a share."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [text_column, *([time_column] if time_column else [])]
    try:
        with pq.ParquetFile(path) as reader:
            groups, index = groups_of(reader, row_groups)
            names = reader.schema_arrow.names
            _need_columns(path, names, text_column, time_column)
            wanted += [provenance_column] if provenance_column in names else []
            for batch in reader.iter_batches(_BATCH_ROWS, row_groups=groups, columns=wanted):
                for row in batch.to_pylist():
                    where = f"{path}, row {index}"
                    yield _document(
                        f"{name}:{index}", where, row, text_column, time_column, provenance_column
                    )
                    index += 1
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"expected a Parquet file at {path}. Received: {reason}") from None


READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}


def _need_columns(
    where: Path | str, columns: Sequence[str], text_column: str, time_column: str
) -> None:
    for option, column in (("text_column", text_column), ("time_column", time_column)):
        if column and column not in columns:
            raise DataError(
                f"expected the column {column!r} in {where}. Received: "
                f"{', '.join(map(str, columns)) or 'no columns'}; set ingest.{option}"
            )


def _document(
    document_id: str,
    where: str,
    row: dict[str, object],
    text_column: str,
    time_column: str,
    provenance_column: str,
) -> Document:
    text = row[text_column]
    if text is not None and not isinstance(text, str):
        raise DataError(
            f"expected text in {text_column!r} at {where}. Received: {type(text).__name__}"
        )
    if text and not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        raise DataError(
            f"expected text in {text_column!r} at {where}. Received: half of a surrogate pair, "
            "which is no character"
        )
    # Unlike the others, the column need not be there.
    found = row.get(provenance_column) if provenance_column else None
    provenance = parse_provenance(found, where, provenance_column)
    time = _time(row, time_column, where)
    return Document(document_id, (text or "").splitlines(), time, provenance)


def _time(row: dict[str, object], column: str, where: str) -> dt.datetime | None:
    if not column:
        return None
    try:
        return parse_time(row[column])
    except (ValueError, OverflowError):
        raise DataError(
            f"expected a year or an ISO 8601 time in {column!r} at {where}. "
            f"Received: {row[column]!r}"
        ) from None
