"""What a row is told by: the digest of its content, and its time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.errors import DataError
from components.ingest.documents import parse_time

TIME_TYPE = pa.timestamp("us", tz="UTC")
_SEPARATOR, _MISSING = "\x1f", "\\N"


def row_digests(batch: pa.RecordBatch) -> list[bytes]:
    """SHA-256 of each row's names and values; equal for equal rows, and for these only.

    Values are joined as texts. A backslash escapes what would be mistaken for the separator or
    for a missing value.
    """
    names = _SEPARATOR.join(batch.schema.names)
    texts = [_texts(column) for column in batch.columns]
    joined = pc.binary_join_element_wise(
        *texts, _SEPARATOR, null_handling="replace", null_replacement=_MISSING
    )
    head = hashlib.sha256(names.encode() + b"\0")
    digests = []
    for row in joined.to_pylist():
        digest = head.copy()
        digest.update(row.encode())
        digests.append(digest.digest())
    return digests


def _texts(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        # Of microseconds, so that the text does not depend on a database of time zones.
        if pa.types.is_timestamp(column.type):
            column = pc.cast(column, pa.int64())
        return pc.cast(column, pa.string())
    escaped = pc.replace_substring(column, "\\", "\\\\")
    return pc.replace_substring(escaped, _SEPARATOR, "\\x")


def numbers_of(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    """Four numbers for each digest, spread evenly; uint64 [rows, 4]."""
    return np.frombuffer(b"".join(digests), ">u8").reshape(-1, 4).astype(np.uint64)


def event_times(column: pa.Array, name: str, where: str) -> pa.Array:
    """The times of rows in UTC; without a zone they are UTC.

    Args:
        column: datetimes, ISO 8601 texts, or years.
        name, where: for the message.

    Raises:
        DataError: a value is no time.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return pc.cast(column, TIME_TYPE)
    times = []
    for value in column.to_pylist():
        try:
            times.append(parse_time(value))
        except (ValueError, OverflowError):
            raise DataError(
                f"expected a year or an ISO 8601 time in {name!r} ({where}). Received: {value!r}; "
                "set ingest.time_column"
            ) from None
    return pa.array(times, TIME_TYPE)
