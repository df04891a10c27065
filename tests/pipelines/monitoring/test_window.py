"""Each request is looked at once, whatever the clock does, and what is lost is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.errors import ConfigError
from pipelines.monitoring.window import next_window
from serving.store import Monitoring

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


def past(since: datetime, until: datetime, **changed: Any) -> Monitoring:
    return Monitoring(1, "text", until, since, until, 5, "ok", "", {}, "")


def test_the_first_window_reaches_back_as_far_as_it_may() -> None:
    window = next_window([], NOON, 24)
    assert (window.since, window.until, window.notes) == (NOON - 24 * HOUR, NOON, ())


def test_a_window_starts_where_the_last_one_ended() -> None:
    window = next_window([past(NOON - 2 * HOUR, NOON - HOUR)], NOON, 24)
    assert (window.since, window.until, window.notes) == (NOON - HOUR, NOON, ())


def test_what_lies_too_far_back_is_told() -> None:
    window = next_window([past(NOON - 50 * HOUR, NOON - 49 * HOUR)], NOON, 24)
    assert window.since == NOON - 24 * HOUR
    assert "from 2026-11-26 11:00:00 UTC to 2026-11-27 12:00:00 UTC were not" in window.notes[0]


def test_a_clock_that_was_a_year_ahead_costs_one_window_and_counts_nothing_twice() -> None:
    ahead = past(NOON + YEAR - HOUR, NOON + YEAR)
    first = next_window([ahead], NOON, 24)
    assert first.since == first.until == NOON
    assert "the clock was set back" in first.notes[0]
    second = next_window([past(first.since, first.until), ahead], NOON + HOUR, 24)
    assert (second.since, second.until, second.notes) == (NOON, NOON + HOUR, ())
    # A year later the clock comes to where it was before.
    newest = past(NOON + YEAR - 3 * HOUR, NOON + YEAR - 2 * HOUR)
    third = next_window([newest, ahead], NOON + YEAR + HOUR, 24)
    assert (third.since, third.until) == (NOON + YEAR, NOON + YEAR + HOUR)
    assert "when the clock was ahead" in third.notes[0]


def test_a_step_back_of_seconds_is_no_crash() -> None:
    window = next_window([past(NOON - HOUR, NOON)], NOON - timedelta(seconds=5), 24)
    assert window.since == window.until == NOON - timedelta(seconds=5)


def test_a_person_gets_the_window_asked_for() -> None:
    recent = [past(NOON - HOUR, NOON)]
    window = next_window(recent, NOON, 24, since=NOON - 9 * HOUR, until=NOON - 8 * HOUR)
    assert (window.since, window.until) == (NOON - 9 * HOUR, NOON - 8 * HOUR)
    assert next_window(recent, NOON, 24, until=NOON).since == NOON - 24 * HOUR


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ConfigError, match="ends after it starts"):
        next_window([], NOON, 24, since=NOON, until=NOON - HOUR)
