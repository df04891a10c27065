"""Reads what users asked for lately, from a file in any of the usual forms."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import heapq
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import DataError

SUFFIXES = (".jsonl", ".csv", ".parquet", ".txt")
# Where a request's time may stand: as the gateway records it, or as tables commonly have it.
_TIMES = ("created", "event_time", "time", "timestamp")
_OTHERS = frozenset({*_TIMES, "id", "key_id", "num_rows", "seed", "temperature"})
_LONGEST = 200


@dataclasses.dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        inputs: by name, as `generate` takes them.
        time: its day as ISO 8601; empty where unknown.
    """

    inputs: Mapping[str, Any]
    time: str = ""

    def values(self, name: str) -> list[Any]:
        """What was asked for under a name: a value, or those of a batch; nothing if not given."""
        value = self.inputs.get(name)
        if value is None:
            return []
        return list(value) if isinstance(value, list | tuple) else [value]


def read_requests(path: Path, most: int) -> list[Request]:
    """At most `most` requests of a file, chosen and ordered by a digest of place and content.

    The file is streamed; memory grows with `most`, not with the file.

    Args:
        path: `.jsonl` (a JSON object a line: a request as the gateway records it, with `inputs`
            and `created`, or the inputs alone; or a string, a prompt), `.csv` or `.parquet` (a
            column for each input, and perhaps `created`), or `.txt` (a prompt a line).
        most: requests at most.

    Raises:
        DataError: there is no such file, it is in another form, or it holds no request.
    """
    if not path.is_file():
        raise DataError(f"drift.prompts: expected a file at {path}. Received: no such file")
    readers = {".jsonl": _lines, ".csv": _csv, ".parquet": _parquet, ".txt": _text}
    if path.suffix not in readers:
        raise DataError(
            f"drift.prompts: expected a file whose name ends in {', '.join(SUFFIXES)}. Received: "
            f"{path.name}"
        )
    keyed = (
        (_digest(place, request), place, request)
        for place, request in enumerate(readers[path.suffix](path))
    )
    chosen = [request for _, _, request in heapq.nsmallest(most, keyed, key=lambda one: one[:2])]
    if not chosen:
        raise DataError(
            f"drift.prompts: expected requests in {path}. Received: none; take a longer window, or "
            "leave drift.prompts empty"
        )
    return chosen


def _digest(place: int, request: Request) -> int:
    # Of crc32 alone, neighbours that hardly differ would lie in a pattern.
    content = json.dumps([place, *map(str, request.inputs.values())])
    return (zlib.crc32(content.encode()) * 0x9E3779B1) & 0xFFFFFFFF


def _lines(path: Path) -> Iterator[Request]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except ValueError:
                # The last line of a log that is being written, or was torn off by a crash.
                if not line.endswith(b"\n"):
                    return
                raise _unreadable(path, number, line) from None
            if isinstance(content, str):
                yield Request({"prompt": content})
            elif isinstance(content, dict):
                yield _request(content)
            else:
                raise _unreadable(path, number, line)


def _unreadable(path: Path, number: int, line: bytes) -> DataError:
    shown = line.decode("utf-8", "replace").strip()[:_LONGEST]
    return DataError(
        f"drift.prompts: expected a JSON object or string a line in {path}. Received in line "
        f"{number}: {shown}"
    )


def _text(path: Path) -> Iterator[Request]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.strip():
                yield Request({"prompt": line.rstrip("\r\n")})


def _csv(path: Path) -> Iterator[Request]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        try:
            for row in csv.DictReader(stream, strict=True):
                yield _request({name: value or None for name, value in row.items() if name})
        except csv.Error as error:
            raise DataError(f"drift.prompts: expected CSV in {path}. Received: {error}") from None


def _parquet(path: Path) -> Iterator[Request]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as reader:
            for batch in reader.iter_batches(batch_size=4096):
                yield from map(_request, batch.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"drift.prompts: expected Parquet in {path}. Received: {' '.join(str(error).split())}"
        ) from None


def _request(content: Mapping[str, Any]) -> Request:
    """A request from a record of the gateway, or from its inputs alone."""
    inner = content.get("inputs")
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except ValueError:
            inner = None
    when = next((content[name] for name in _TIMES if content.get(name)), "")
    inputs = inner if isinstance(inner, dict) else content
    return Request(
        {name: value for name, value in inputs.items() if name not in _OTHERS}, _day(when)
    )


def _day(when: Any) -> str:
    if isinstance(when, dt.datetime | dt.date):
        return when.isoformat()[:10]
    try:
        return dt.datetime.fromisoformat(str(when)).date().isoformat()
    except ValueError:
        return ""
