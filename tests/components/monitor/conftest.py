"""A serving log on disk, as the collect step leaves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import ServingLog

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SCORES = pa.schema(
    [
        ("id", pa.string()),
        ("document_id", pa.string()),
        ("nll", pa.float64()),
        ("num_bytes", pa.int64()),
    ]
)


@pytest.fixture
def request_row() -> Callable[..., dict[str, Any]]:
    """A request as the log has it, with what a test changes."""

    def row(name: str, **changed: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "id": name,
            "created": NOON - timedelta(minutes=5),
            "version": 1,
            "signature": "generate",
            "inputs": {"prompt": "The Congress"},
            "outputs": {"text": " shall meet."},
            "status": "ok",
            "code": "",
            "num_tokens": 4,
            "latency_ms": 20.0,
            "first_token_ms": None,
        }
        values |= changed
        for key in ("inputs", "outputs"):
            values[key] = None if values[key] is None else json.dumps(values[key])
        return values

    return row


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., ServingLog]:
    """Writes a log."""

    def write(
        window: Sequence[dict[str, Any]],
        reference: Sequence[dict[str, Any]] = (),
        feedback: Sequence[dict[str, Any]] = (),
        edits: Sequence[dict[str, Any]] | None = None,
        baseline: Sequence[dict[str, Any]] | None = None,
        **about: Any,
    ) -> ServingLog:
        log = ServingLog(tmp_path / "log")
        log.path.mkdir()
        parts = [
            (log.requests_path, window, log.requests_schema()),
            (log.reference_path, reference, log.requests_schema()),
            (log.feedback_path, feedback, log.feedback_schema()),
            (log.edits_path, edits, SCORES),
            (log.baseline_path, baseline, SCORES),
        ]
        for path, rows, schema in parts:
            if rows is not None:
                pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
        content: dict[str, Any] = {
            "model": "text",
            "modality": "text",
            "version": 1,
            "window_from": (NOON - timedelta(hours=1)).isoformat(),
            "window_to": NOON.isoformat(),
            "notes": [],
            "history": [],
        }
        log.write_collected({**content, **about})
        return log

    return write
