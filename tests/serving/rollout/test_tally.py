"""Looks read on where the last one ended, and miss nothing that comes a little late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.rollout.tally import LATE, Side, Tally
from serving.store import Feedback, RequestRecord, Store, open_store

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
SIDE = Side("text", 2, "canary", STARTED)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def add(store: Store, first: int, count: int, seconds: float, code: str = "") -> list[str]:
    """Records so many seconds after the step's start."""
    rows = [
        RequestRecord(
            id=f"r{first + index}",
            created=STARTED + timedelta(seconds=seconds + index / 1000),
            key_id=None,
            model="text",
            version=None if code else 2,
            label="canary",
            arm="canary",
            signature="generate",
            inputs={},
            outputs=None,
            status="error" if code else "ok",
            code=code,
            message="",
            num_tokens=1,
            latency_ms=float(first + index),
            first_token_ms=None,
            client_request_id=None,
            streamed=False,
        )
        for index in range(count)
    ]
    store.requests.add(rows)
    return [row.id for row in rows]


def forget_requests(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM requests"))
    engine.dispose()


def test_a_look_reads_only_what_is_new(store: Store, tmp_path: Path) -> None:
    tally = Tally(store, SIDE)
    add(store, 0, 50, 1)
    add(store, 50, 10, 2, code="INTERNAL")
    arm = tally.look()
    assert (arm.requests, arm.errors, arm.latencies) == (60, 10, list(map(float, range(50))))
    forget_requests(tmp_path)
    add(store, 100, 5, 2 * LATE.total_seconds())
    arm = tally.look()
    assert (arm.requests, arm.errors) == (65, 10)
    assert arm.latencies == [*map(float, range(50)), *map(float, range(100, 105))]


def test_what_is_recorded_late_is_counted_once(store: Store) -> None:
    tally = Tally(store, SIDE)
    add(store, 0, 3, LATE.total_seconds() + 100)
    assert tally.look().requests == 3
    add(store, 10, 2, 101)
    assert tally.look().requests == 5
    assert tally.look().requests == 5
    # Later than can be hoped for: a whole look finds them.
    add(store, 20, 4, 50)
    assert tally.look().requests == 5
    assert Tally(store, SIDE).look().requests == 9


def test_the_last_word_on_an_answer_counts_from_look_to_look(store: Store) -> None:
    tally = Tally(store, SIDE)
    first, second = add(store, 0, 2, 1)
    other = Side("text", 2, "stable", STARTED)

    def say(name: str, request: str, value: int, seconds: float) -> None:
        at = STARTED + timedelta(seconds=seconds)
        assert store.feedback.add(Feedback(name, request, at, "thumbs", value))

    say("a", first, 1, 5)
    say("b", second, -1, 6)
    arm = tally.look()
    assert (arm.judged, arm.bad) == (2, 1)
    say("c", first, -1, 500)
    arm = tally.look()
    assert (arm.judged, arm.bad) == (2, 2)
    assert (Tally(store, SIDE).look().bad, Tally(store, other).look().judged) == (2, 0)


def test_what_came_before_the_step_does_not_count(store: Store) -> None:
    before = add(store, 0, 2, -10)
    add(store, 10, 1, 1)
    assert store.feedback.add(
        Feedback("f", before[0], STARTED + timedelta(seconds=1), "thumbs", -1)
    )
    arm = Tally(store, SIDE).look()
    assert (arm.requests, arm.judged) == (1, 0)
