"""How long ago something was written, told so that a wall clock that is set cannot change it."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclasses.dataclass(frozen=True)
class Moment:
    """A point in time by two clocks: the wall's, which people set, and the machine's own.

    Attributes:
        wall: the time of day, UTC.
        boot: names the start of the machine; '' where it has no such name.
        uptime: seconds since then, sleep included.
    """

    wall: datetime
    boot: str = ""
    uptime: float = 0.0

    @classmethod
    def now(cls) -> Self:
        """This moment."""
        wall = datetime.now(UTC)
        try:
            return cls(wall, _BOOT_ID.read_text().strip(), time.clock_gettime(time.CLOCK_BOOTTIME))
        except (OSError, AttributeError):  # Not Linux: there is the wall's clock only.
            return cls(wall)

    @classmethod
    def of(cls, wall: datetime, clock: Any) -> Self:
        """What was written with `clock()`."""
        try:
            return cls(wall, str(clock["boot"]), float(clock["uptime"]))
        except (KeyError, TypeError, ValueError):
            return cls(wall)

    def clock(self) -> dict[str, Any]:
        """The machine's own clock, as JSON."""
        return {"boot": self.boot, "uptime": self.uptime}

    def since(self, earlier: Moment) -> timedelta:
        """How long ago an earlier moment was; by the machine's own clock where it is the same.

        Never negative: a moment that the wall's clock puts in the future was just now.
        """
        if self.boot and self.boot == earlier.boot and self.uptime >= earlier.uptime:
            return timedelta(seconds=self.uptime - earlier.uptime)
        return max(self.wall - earlier.wall, timedelta())
