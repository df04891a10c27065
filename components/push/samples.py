"""A few samples as JSON, for those who look at a candidate without Parquet at hand."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

_MOST = 24
_LONGEST = 4000


def first_samples(path: Path) -> list[dict[str, Any]]:
    """The first samples of an evaluation.

    Args:
        path: its `samples.parquet`.

    Returns:
        At most 24 rows by column name; bytes, such as images, as Base64, long texts cut.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_MOST):
            return [
                {name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()
            ]
    return []


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if isinstance(value, int | float | bool | None) else str(value)
