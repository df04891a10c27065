"""Token buckets and daily quotas."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from serving.gateway.errors import ApiError
from serving.gateway.limits import RateLimiter, Usage

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_full_at_first_and_refills_at_its_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    left = [limiter.take("a", 3)["RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    with pytest.raises(ApiError, match="at most 3 requests a minute") as caught:
        limiter.take("a", 3)
    assert caught.value.status == 429
    assert caught.value.headers["Retry-After"] == "20"
    assert caught.value.headers["RateLimit-Reset"] == "60"
    clock.now += 19
    with pytest.raises(ApiError):
        limiter.take("a", 3)
    clock.now += 1.001
    limiter.take("a", 3)
    clock.now += 3600
    assert limiter.take("a", 3)["RateLimit-Remaining"] == "2"


def test_callers_do_not_share_a_bucket() -> None:
    limiter = RateLimiter(Clock())
    limiter.take("a", 1)
    limiter.take("b", 1)
    with pytest.raises(ApiError):
        limiter.take("a", 1)


def test_a_quota_counts_what_is_stored_what_waits_and_what_is_under_way() -> None:
    usage = Usage()
    usage.stored("key", NOON.date(), 50)
    usage.add("key", NOON.date(), 30)
    usage.reserve("key", 20, 100, NOON)
    assert usage.used("key", NOON.date()) == 100
    with pytest.raises(ApiError, match="at most 100 tokens a day") as caught:
        usage.reserve("key", 1, 100, NOON)
    assert caught.value.headers["Retry-After"] == str(12 * 3600)
    usage.release("key", 20)
    usage.reserve("key", 20, 100, NOON)


def test_tokens_are_counted_once_while_they_go_to_the_store() -> None:
    usage = Usage()
    usage.stored("key", NOON.date(), 10)
    usage.add("key", NOON.date(), 5)
    assert usage.drain() == {("key", NOON.date()): (1, 5)}
    usage.written("key", NOON.date(), 5)
    assert usage.used("key", NOON.date()) == 15
    usage.restore("key", NOON.date(), 1, 5)
    usage.add("key", NOON.date(), 2)
    assert usage.drain() == {("key", NOON.date()): (2, 7)}


def test_tokens_count_at_every_moment_of_their_way_to_the_store() -> None:
    usage = Usage()
    usage.add("key", NOON.date(), 60)
    usage.drain()
    assert usage.used("key", NOON.date()) == 60  # being written
    usage.add("key", NOON.date(), 50)
    with pytest.raises(ApiError, match="at most 100 tokens a day"):
        usage.reserve("key", 1, 100, NOON)
    usage.restore("key", NOON.date(), 1, 60)
    assert usage.used("key", NOON.date()) == 110  # could not be written
    assert usage.drain() == {("key", NOON.date()): (2, 110)}
    usage.written("key", NOON.date(), 110)
    assert usage.used("key", NOON.date()) == 110  # written, and the store not read since


def test_a_day_starts_with_nothing_used() -> None:
    usage = Usage()
    usage.stored("key", NOON.date(), 100)
    usage.stored("key", date(2026, 5, 5), 0)
    usage.reserve("key", 1, 100, datetime(2026, 5, 5, 0, 1, tzinfo=UTC))
    assert usage.used("key", NOON.date()) == 1  # yesterday is forgotten
