"""How fast training goes, and how long it waits for data."""

from __future__ import annotations

import time


class Pace:
    """Steps per second, and the share of the time that they waited for data.

    The first step compiles, and what happens between `pause` and the next step is no step.
    """

    def __init__(self) -> None:
        self._started: float | None = None
        self._compiled = False
        self._steps = 0
        self._seconds = self._waited = 0.0

    def add_step(self, waited: float) -> None:
        """Counts a step that ends now, which waited for its data so many seconds."""
        now = time.monotonic()
        if self._started is not None and self._compiled:
            self._steps += 1
            self._seconds += now - self._started
            self._waited += waited
        self._compiled, self._started = True, now

    def pause(self) -> None:
        """Leaves out what happens until the loop goes on."""
        self._started = time.monotonic() if self._compiled else None

    def steps_per_second(self) -> float:
        return self._steps / self._seconds if self._seconds else 0.0

    def input_share(self) -> float:
        return self._waited / self._seconds if self._seconds else 0.0
