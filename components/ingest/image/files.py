"""Images in folders, named by CSV files, and inside Parquet files."""

from __future__ import annotations

import csv
import dataclasses
import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import DataError
from components.ingest.documents import parse_time
from components.ingest.formats import read_lines
from components.ingest.image.pictures import Part, Picture, read_file, slices
from components.ingest.parts import Share, cut, groups_of
from components.provenance import parse as parse_provenance

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGES = (".png", ".jpg", ".jpeg")
_TABLES = (".csv", ".parquet")

# Rows of a Parquet file in memory at a time.
_BATCH_ROWS = 64


class Files:
    """A folder of images whose subfolders are classes, or tables that name or hold images."""

    def __init__(self, location: str) -> None:
        """Remembers the location; `files` looks for what is there."""
        self._location = Path(location).expanduser()

    def files(self) -> dict[str, Path]:
        if self._location.is_dir():
            found = [path for path in self._location.rglob("*") if _kind(path) in _IMAGES]
            root = self._location
        else:
            # Path.glob takes no absolute pattern.
            matches = glob.glob(str(self._location), recursive=True)  # noqa: PTH207
            found = [path for path in map(Path, matches) if _kind(path) in _TABLES]
            root = Path(os.path.commonpath([each.parent for each in found])) if found else Path()
        files = {
            path.relative_to(root).as_posix(): path for path in sorted(found) if path.is_file()
        }
        if not files:
            raise DataError(
                f"expected a folder of {', '.join(_IMAGES)} files, or {' or '.join(_TABLES)} "
                f"files, at {str(self._location)!r}. Received: no such file"
            )
        return files

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        files = self.files()
        if self._location.is_dir() and label_column:
            _refuse_folders(files)
        shares = tuple(Share(name, path) for name, path in files.items())
        whole = _Images(shares) if self._location.is_dir() else _Tables(shares)
        return whole.pictures(image_column, label_column, time_column, provenance_column)

    def parts(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Sequence[Part]:
        files = self.files()
        if self._location.is_dir():
            if label_column:
                _refuse_folders(files)
            return [_Images(part) for part in cut(files.items())]
        found: list[Part] = []
        for name, path in files.items():
            for part in cut([(name, path)]):
                if _kind(path) == ".csv":
                    columns = (image_column, label_column, time_column, provenance_column)
                    found += slices(_Tables(part), *columns)
                else:
                    found.append(_Tables(part))
        return found

    def images(self) -> Iterator[tuple[str, Path]]:
        """The image files that CSV files name in any of their columns; those that exist."""
        if self._location.is_dir():
            return
        for name, path in self.files().items():
            if _kind(path) == ".csv":
                for row in _rows(path, []):
                    cells = [cell for cell in row.values() if isinstance(cell, str)]
                    named = [cell for cell in cells if cell.lower().endswith(_IMAGES)]
                    for cell in named:
                        if _beside(path, cell).is_file():
                            yield f"{name}:{cell}", _beside(path, cell)


def _kind(path: Path) -> str:
    return path.suffix.lower()


@dataclasses.dataclass(frozen=True)
class _Shares:
    """What images are read from."""

    shares: tuple[Share, ...]

    def files(self) -> dict[str, Path]:
        return {share.name: share.path for share in self.shares}


class _Images(_Shares):
    """Image files, each in a folder that names its class."""

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        for share in self.shares:
            label = _folder(share.name) if label_column else ""
            yield Picture(share.name, partial(read_file, share.path), label)


class _Tables(_Shares):
    """Tables that name or hold images, or a part of one."""

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        for share in self.shares:
            read = _read_csv if _kind(share.path) == ".csv" else _read_parquet
            yield from read(share, image_column, label_column, time_column, provenance_column)


def _folder(name: str) -> str:
    """The first folder below the root, or nothing."""
    return name.split("/")[0] if "/" in name else ""


def _refuse_folders(names: Iterable[str]) -> None:
    """Refuses folders that name no classes.

    Raises:
        DataError: only some images lie in a folder, or all in the same one.
    """
    labels = {name: _folder(name) for name in names}
    classes = sorted(set(labels.values()))
    if classes == [""]:
        return
    if "" in classes:
        loose = [name for name, label in labels.items() if not label]
        raise DataError(
            f"expected every image in a subfolder that is named after its class. Received: "
            f"{len(loose):,} of {len(labels):,} beside the subfolders, such as {loose[0]!r}; move "
            "them, or set ingest.label_column to '' for images without classes"
        )
    if len(classes) == 1:
        raise DataError(
            f"expected subfolders of at least two classes. Received: one, {classes[0]!r}, with "
            f"all {len(labels):,} images; add a class, or set ingest.label_column to '' for "
            "images without classes"
        )


def _beside(table: Path, name: str) -> Path:
    """An image that a CSV file names, relative to the file's own folder."""
    return table.parent / name


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file.

    Raises:
        DataError: a column is missing, or a row is cut short.
    """
    rows = csv.DictReader(read_lines(path), strict=True)
    try:
        _need(path, list(rows.fieldnames or []), columns)
        for row in rows:
            for column in columns:
                if row[column] is None:
                    raise DataError(
                        f"expected {column!r} at {path}:{rows.line_num}. Received: a row that "
                        "ends before it"
                    )
            yield row
    except csv.Error as error:
        raise DataError(f"expected CSV at {path}:{rows.line_num}. Received: {error}") from None


def _read_csv(
    share: Share,
    image_column: str,
    label_column: str,
    time_column: str,
    provenance_column: str,
) -> Iterator[Picture]:
    name, path = share.name, share.path
    columns = [column for column in (image_column, label_column, time_column) if column]
    for index, row in enumerate(_rows(path, columns)):
        where = f"{path}, row {index + 1}"
        yield Picture(
            f"{name}:{index}:{row[image_column]}",
            partial(read_file, _beside(path, row[image_column])),
            row[label_column].strip() if label_column else "",
            _time(row.get(time_column), time_column, where),
            provenance=parse_provenance(row.get(provenance_column), where, provenance_column),
        )


def _read_parquet(
    share: Share,
    image_column: str,
    label_column: str,
    time_column: str,
    provenance_column: str,
) -> Iterator[Picture]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name, path = share.name, share.path
    columns = [column for column in (image_column, label_column, time_column) if column]
    try:
        with pq.ParquetFile(path) as reader:
            groups, index = groups_of(reader, share.row_groups)
            schema = reader.schema_arrow
            _need(path, schema.names, columns)
            columns += [provenance_column] if provenance_column in schema.names else []
            _need_bytes(path, schema, image_column)
            names = _class_names(schema, label_column)
            for batch in reader.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
                for row in batch.to_pylist():
                    where = f"{path}, row {index}"
                    yield Picture(
                        f"{name}:{index}",
                        partial(_content, row[image_column]),
                        _label(row.get(label_column), names, where),
                        _time(row.get(time_column), time_column, where),
                        provenance=parse_provenance(
                            row.get(provenance_column), where, provenance_column
                        ),
                    )
                    index += 1
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"expected a Parquet file at {path}. Received: {reason}") from None


def _need(path: Path, present: list[str], wanted: list[str]) -> None:
    for column in wanted:
        if column not in present:
            raise DataError(
                f"expected the column {column!r} in {path}. Received: "
                f"{', '.join(present) or 'no columns'}; set ingest.image_column, label_column and "
                "time_column"
            )


def _need_bytes(path: Path, schema: pa.Schema, column: str) -> None:
    """Refuses a column that holds no bytes; a struct's field `bytes` is what datasets hubs write.

    Raises:
        DataError: there are none.
    """
    import pyarrow.types as types

    kind = schema.field(column).type
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (types.is_binary(kind) or types.is_large_binary(kind)):
        raise DataError(
            f"expected the bytes of image files in the column {column!r} of {path}. "
            f"Received: {kind}"
        )


def _content(value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None:
        raise OSError("no image in this row")
    return bytes(data)


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """The names of classes that are numbers, where the file tells them as dataset hubs do."""
    try:
        content = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in content["info"]["features"][column]["names"]]
    except (KeyError, ValueError, TypeError):
        return []


def _label(value: Any, names: list[str], where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and names:
        if not 0 <= value < len(names):
            raise DataError(
                f"expected a class of 0 to {len(names) - 1} at {where}. Received: {value}"
            )
        return names[value]
    if isinstance(value, str | int):
        return str(value).strip()
    raise DataError(
        f"expected a class as text or a whole number at {where}. Received: {type(value).__name__}"
    )


def _time(value: object, column: str, where: str) -> Any:
    if not column:
        return None
    try:
        return parse_time(value)
    except (ValueError, OverflowError):
        raise DataError(
            f"expected a year or an ISO 8601 time in {column!r} at {where}. Received: {value!r}"
        ) from None
