"""How much a caller may ask for: a token bucket per minute and a quota of tokens per day.

Both count in this process. Buckets of several gateways add up; the quota is shared through the
store, whose counts each gateway reads again every few seconds.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from serving.gateway.errors import ApiError

_CALLERS = 50_000


@dataclasses.dataclass
class _Bucket:
    left: float
    at: float


class RateLimiter:
    """Token buckets by caller: full at first, refilled at the caller's rate.

    Only the event loop's thread uses it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, per_minute: int) -> dict[str, str]:
        """Takes one request off a caller's bucket.

        Returns:
            Headers that tell what is left.

        Raises:
            ApiError: nothing is left; the headers tell when to come again.
        """
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(per_minute, now)
            if len(self._buckets) > _CALLERS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller)
        rate = per_minute / 60
        bucket.left = min(per_minute, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        refused = bucket.left < 1
        if not refused:
            bucket.left -= 1
        headers = {
            "RateLimit-Limit": str(per_minute),
            "RateLimit-Remaining": str(int(bucket.left)),
            "RateLimit-Reset": str(math.ceil((per_minute - bucket.left) / rate)),
        }
        if refused:
            wait = math.ceil((1 - bucket.left) / rate)
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"expected at most {per_minute} requests a minute. Received: one more; "
                f"try again in {wait} s",
                headers={**headers, "Retry-After": str(wait)},
            )
        return headers


class Usage:
    """Requests and tokens per key and day: what the store has, and what it has not yet.

    `lock` is held while the store is read or written, so that no count is seen twice or not at all;
    the event loop never waits for it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Held for moments, while counts move: a count is in one of these places at any time.
        self._moving = threading.Lock()
        self._pending: dict[tuple[str, date], tuple[int, int]] = {}
        self._drained: dict[tuple[str, date], tuple[int, int]] = {}
        self._stored: dict[tuple[str, date], int] = {}
        self._reserved: dict[str, int] = {}

    def add(self, key_id: str, day: date, tokens: int) -> None:
        """Counts a request and its tokens; the store learns of it with the next `drain`."""
        with self._moving:
            self._put_back((key_id, day), 1, tokens)

    def stored(self, key_id: str, day: date, tokens: int) -> None:
        """Takes note of what the store says; called with `lock` held."""
        with self._moving:
            self._stored[key_id, day] = tokens
            for other in [entry for entry in self._stored if entry[1] < day]:
                del self._stored[other]

    def used(self, key_id: str, day: date) -> int:
        """Tokens of a key on a day, those of requests under way included."""
        entry = (key_id, day)
        with self._moving:
            waiting = self._pending.get(entry, (0, 0))[1] + self._drained.get(entry, (0, 0))[1]
            return self._stored.get(entry, 0) + waiting + self._reserved.get(key_id, 0)

    def reserve(self, key_id: str, tokens: int, quota: int | None, now: datetime) -> None:
        """Holds tokens for a request, which `release` gives back.

        Raises:
            ApiError: the quota of the day is used up.
        """
        if quota is not None and self.used(key_id, now.date()) >= quota:
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"expected at most {quota} tokens a day. Received: a request after they were "
                "used up; the count starts again at midnight UTC",
                headers={"Retry-After": str(math.ceil((midnight - now).total_seconds()))},
            )
        self._reserved[key_id] = self._reserved.get(key_id, 0) + tokens

    def release(self, key_id: str, tokens: int) -> None:
        """Gives back what `reserve` held."""
        left = self._reserved.get(key_id, 0) - tokens
        if left > 0:
            self._reserved[key_id] = left
        else:
            self._reserved.pop(key_id, None)

    def drain(self) -> dict[tuple[str, date], tuple[int, int]]:
        """Requests and tokens to write; called with `lock` held.

        They count until `written` or `restore` says what became of them.
        """
        with self._moving:
            self._drained, self._pending = self._pending, {}
            return dict(self._drained)

    def written(self, key_id: str, day: date, tokens: int) -> None:
        """They are in the store now; called with `lock` held."""
        entry = (key_id, day)
        with self._moving:
            self._drained.pop(entry, None)
            # Where the store has not been asked yet, it is known to have these at least.
            self._stored[entry] = self._stored.get(entry, 0) + tokens

    def restore(self, key_id: str, day: date, requests: int, tokens: int) -> None:
        """They could not be written and are for the next `drain`; called with `lock` held."""
        with self._moving:
            self._drained.pop((key_id, day), None)
            self._put_back((key_id, day), requests, tokens)

    def _put_back(self, entry: tuple[str, date], requests: int, tokens: int) -> None:
        more_requests, more_tokens = self._pending.get(entry, (0, 0))
        self._pending[entry] = (requests + more_requests, tokens + more_tokens)
