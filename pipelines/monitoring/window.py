"""Which requests a monitoring looks at: those since the one before, whatever the clock has done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from components.errors import ConfigError
from serving.store import Monitoring


@dataclasses.dataclass(frozen=True)
class Window:
    """A span of time, and what there is to say about it."""

    since: datetime
    until: datetime
    notes: tuple[str, ...] = ()


def next_window(
    recent: Sequence[Monitoring],
    now: datetime,
    hours: float,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Window:
    """The window of a monitoring; no request is counted in two of them.

    Args:
        recent: earlier monitorings of the model, the newest first, as they were written.
        now: the newest time at which requests are known.
        hours: how far back it reaches at most.
        since, until: what a person asked for.

    Raises:
        ConfigError: a person asked for a window that ends before it starts.
    """
    end = until or now
    if since is not None:
        if since >= end:
            raise ConfigError(
                f"expected a window that ends after it starts. Received: from {_shown(since)} to "
                f"{_shown(end)}"
            )
        return Window(since, end)
    earliest = end - timedelta(hours=hours)
    if not recent or until is not None:
        return Window(earliest, end)
    last = recent[0].window_to
    if last > end:
        # The next window goes on from here, so one is lost at most, however far the clock was.
        return Window(
            end,
            end,
            (
                f"the clock was set back: requests up to {_shown(last)} were looked at already, "
                f"and now it is {_shown(end)}. Nothing is counted twice; the next window starts "
                "here.",
            ),
        )
    notes = []
    if last < earliest:
        notes.append(
            f"requests from {_shown(last)} to {_shown(earliest)} were not looked at: the window "
            f"reaches back {hours:g} hours at most (monitoring.window_hours)."
        )
    start = max(last, earliest)
    for other in recent[1:]:
        if other.window_from < end and other.window_to > start:
            start = min(other.window_to, end)
            notes.append(
                f"requests up to {_shown(start)} were looked at already, when the clock was ahead."
            )
    return Window(start, end, tuple(notes))


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
