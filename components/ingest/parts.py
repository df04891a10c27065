"""Cuts the files of a source into parts, each of them the work of one worker at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# A part ends with the file, or the row group, that brings it to so many bytes or files.
PART_BYTES = 64 << 20
PART_FILES = 4096


@dataclasses.dataclass(frozen=True)
class Share:
    """A file, or some of the row groups of a Parquet file.

    Attributes:
        name: stable name, the same wherever the source lies.
        path: of the file.
        row_groups: the first one and the one after the last; None for the whole file.
    """

    name: str
    path: Path
    row_groups: tuple[int, int] | None = None


def cut(files: Iterable[tuple[str, Path]], whole: bool = False) -> list[tuple[Share, ...]]:
    """Cuts files into parts of about equal work, in order.

    Args:
        files: path by stable name.
        whole: no file goes to several parts; else Parquet does, which says where its row groups
            lie.
    """
    parts: list[tuple[Share, ...]] = []
    taken: list[Share] = []
    size = 0
    for share, weight in _shares(files, whole):
        taken.append(share)
        size += weight
        if size >= PART_BYTES or len(taken) >= PART_FILES:
            parts.append(tuple(taken))
            taken, size = [], 0
    return [*parts, tuple(taken)] if taken else parts


def groups_of(reader: pq.ParquetFile, row_groups: tuple[int, int] | None) -> tuple[list[int], int]:
    """The row groups of a share, and how many rows of the file stand before them."""
    first, end = row_groups or (0, reader.num_row_groups)
    before = sum(reader.metadata.row_group(index).num_rows for index in range(first))
    return list(range(first, end)), before


def _shares(files: Iterable[tuple[str, Path]], whole: bool) -> Iterator[tuple[Share, int]]:
    for name, path in files:
        try:
            size = path.stat().st_size
        except OSError:
            size = 0  # Whoever reads it says so.
        weights = _row_groups(path) if size > PART_BYTES and not whole else []
        if len(weights) < 2:
            yield Share(name, path), size
            continue
        first = weight = 0
        for index, more in enumerate(weights, start=1):
            weight += more
            if weight >= PART_BYTES or index == len(weights):
                yield Share(name, path, (first, index)), weight
                first, weight = index, 0


def _row_groups(path: Path) -> list[int]:
    """Bytes of each row group of a Parquet file; none of what is no such file."""
    if path.suffix.lower() != ".parquet":
        return []
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return []  # Whoever reads it says so.
    return [found.row_group(index).total_byte_size for index in range(found.num_row_groups)]
