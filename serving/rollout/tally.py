"""What an arm did in a step, read on from look to look instead of from the start each time."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

from serving.rollout.judging import Arm, quality
from serving.store import Store

# A request is recorded when it has ended, under the time at which it came: what came this long
# before the newest record may still be missing. What is later than that is found by a whole look.
LATE = timedelta(seconds=120)


@dataclasses.dataclass(frozen=True)
class Side:
    """Whose requests are counted, and since when."""

    model: str
    version: int
    arm: str
    started: datetime


class Tally:
    """Counts one arm of one step; a new one reads everything once and then goes on alike."""

    def __init__(self, store: Store, side: Side) -> None:
        """Nothing is read yet."""
        self.side = side
        self._store = store
        self._arm = Arm()
        self._qualities: dict[str, bool | None] = {}
        self._newest = self._newest_feedback = side.started
        self._recent: dict[str, datetime] = {}

    def look(self) -> Arm:
        """The arm with what was recorded since the last look.

        Raises:
            StoreError: the database failed; the next look finds what this one did not.
        """
        side = self.side
        since = max(side.started, self._newest - LATE)
        for outcome in self._store.requests.outcomes(side.model, since, arm=side.arm):
            if outcome.id not in self._recent:
                self._recent[outcome.id] = outcome.created
                self._newest = max(self._newest, outcome.created)
                self._arm.add(outcome)
        self._arm.latencies.sort()
        horizon = self._newest - LATE
        self._recent = {one: at for one, at in self._recent.items() if at >= horizon}
        self._look_at_feedback()
        return self._arm

    def _look_at_feedback(self) -> None:
        side = self.side
        since = max(side.started, self._newest_feedback - LATE)
        found = self._store.feedback.of_version(
            side.model, side.version, since, arm=side.arm, asked_since=side.started
        )
        for one in found:
            self._newest_feedback = max(self._newest_feedback, one.created)
            if one.kind in ("thumbs", "rating"):
                # One answer counts once: the last word on it does.
                self._qualities[one.request_id] = quality(one)
        self._arm.judge(self._qualities.values())
