"""The recorder against real SQLite files: batches, outages, a full queue, a record nobody takes."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.gateway.database import Database
from serving.gateway.limits import Usage
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.recorder import Recorder
from serving.store import Redaction, RequestRecord, Store, open_store

RECORD = RequestRecord(
    id="",
    created=datetime(2026, 5, 4, tzinfo=UTC),
    key_id=None,
    model="text",
    version=1,
    label=None,
    arm="",
    signature="generate",
    inputs={"prompt": "x"},
    outputs={"text": "y"},
    status="ok",
    code="",
    message="",
    num_tokens=1,
    latency_ms=1.0,
    first_token_ms=None,
    client_request_id=None,
    streamed=False,
)


def record(number: int, **fields: Any) -> RequestRecord:
    return dataclasses.replace(RECORD, id=f"r{number}", **fields)


@dataclasses.dataclass
class Parts:
    recorder: Recorder
    metrics: GatewayMetrics
    usage: Usage
    store: Store
    path: Path

    def value(self, series: str) -> float:
        for line in self.metrics.text().decode().splitlines():
            if line.rpartition(" ")[0] == f"loomline_gateway_recorder_{series}":
                return float(line.rpartition(" ")[2])
        return 0.0


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Parts]]:
    made: list[tuple[Recorder, Database]] = []

    def make(**limits: Any) -> Parts:
        path = tmp_path / "gateway.db"
        url = f"sqlite:///{path}"
        database = Database(url, Redaction(), 1.0)
        usage, metrics = Usage(), GatewayMetrics()
        options = {"max_records": 100, "max_bytes": 1 << 20, "linger": 0.02, **limits}
        recorder = Recorder(database, usage, metrics, **options)
        recorder.start()
        made.append((recorder, database))
        return Parts(recorder, metrics, usage, open_store(url), path)

    yield make
    for recorder, database in made:
        recorder.stop(2)
        database.close()


def lock(path: Path) -> sqlite3.Connection:
    """A database that takes no writes until the lock is rolled back."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_records_are_written_soon(make: Callable[..., Parts], until: Callable[..., None]) -> None:
    parts = make()
    for number in range(50):
        parts.recorder.add(record(number), 10)
    until(lambda: len(parts.store.requests.recent(100)) == 50, 3)
    assert parts.value("written_total") == 50
    assert parts.value("queue") == 0


def test_a_flush_waits_until_they_are_in_the_store(make: Callable[..., Parts]) -> None:
    parts = make(linger=60)
    parts.recorder.add(record(1), 10)
    assert parts.store.requests.get("r1") is None
    assert parts.recorder.flush(5) is True
    assert parts.store.requests.get("r1") is not None
    assert parts.recorder.flush(0.1) is True


def test_adding_never_waits_for_the_database(make: Callable[..., Parts]) -> None:
    parts = make()
    locked = lock(parts.path)
    start = time.monotonic()
    for number in range(90):
        parts.recorder.add(record(number), 10)
    assert time.monotonic() - start < 2
    assert parts.recorder.flush(0.3) is False
    locked.rollback()
    locked.close()


def test_what_could_not_be_written_is_written_later(
    make: Callable[..., Parts], until: Callable[..., None]
) -> None:
    parts = make()
    parts.recorder.add(record(0), 10)
    assert parts.recorder.flush(5)
    locked = lock(parts.path)
    for number in range(1, 10):
        parts.recorder.add(record(number), 10)
    time.sleep(0.3)
    assert parts.store.requests.get("r1") is None
    locked.rollback()
    locked.close()
    until(lambda: len(parts.store.requests.recent(100)) == 10, 30)
    assert parts.value('dropped_total{reason="full"}') == 0


@pytest.mark.parametrize(("limits", "kept"), [({"max_records": 5}, 5), ({"max_bytes": 100}, 3)])
def test_a_full_queue_drops_counts_and_logs(
    make: Callable[..., Parts],
    until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    limits: dict[str, int],
    kept: int,
) -> None:
    parts = make(**limits)
    locked = lock(parts.path)
    for number in range(8):
        parts.recorder.add(record(number), 30)
    assert parts.value('dropped_total{reason="full"}') == 8 - kept
    assert "dropped 1 records of requests (full)" in caplog.text
    locked.rollback()
    locked.close()
    until(lambda: len(parts.store.requests.recent(100)) == kept, 30)


def test_a_record_that_the_database_refuses_does_not_hold_up_the_others(
    make: Callable[..., Parts], until: Callable[..., None]
) -> None:
    parts = make()
    refused = record(3, status="neither")  # the table's own check refuses it
    for one in (record(1), record(2), refused, record(4), record(5)):
        parts.recorder.add(one, 10)
    until(lambda: parts.value('dropped_total{reason="refused"}') == 1, 20)
    until(lambda: parts.store.requests.get("r5") is not None, 10)
    assert {kept.id for kept in parts.store.requests.recent(10)} == {"r1", "r2", "r4", "r5"}


def test_stopping_writes_what_waits(make: Callable[..., Parts]) -> None:
    parts = make(linger=60)
    for number in range(100):
        parts.recorder.add(record(number), 10)
    assert parts.recorder.stop(5) == 0
    assert len(parts.store.requests.recent(200)) == 100


def test_stopping_without_a_database_ends_and_counts(make: Callable[..., Parts]) -> None:
    parts = make()
    locked = lock(parts.path)
    for number in range(3):
        parts.recorder.add(record(number), 10)
    start = time.monotonic()
    assert parts.recorder.stop(0.5) == 3
    assert time.monotonic() - start < 3
    assert parts.value('dropped_total{reason="shutdown"}') == 3
    locked.rollback()
    locked.close()


def test_the_usage_of_keys_goes_along(
    make: Callable[..., Parts], until: Callable[..., None]
) -> None:
    parts = make()
    key, _ = parts.store.keys.create("one")
    today = datetime.now(UTC).date()
    for number in range(4):
        parts.usage.add(key.id, today, 25)
        parts.recorder.add(record(number, key_id=key.id), 10)
    until(lambda: parts.store.usage.tokens_today(key.id, today) == 100, 5)
    assert parts.usage.used(key.id, today) in (0, 100)
