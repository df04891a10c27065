"""How fast training goes, as the steps alone take time."""

from __future__ import annotations

import time


class Speed:
    """Tokens per second of the training steps alone: no compiling, evaluating or saving."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._compiled = False
        self._last = 0.0
        self.restart()

    def restart(self) -> None:
        """Starts counting anew after something that was not a step."""
        self._start, self._steps = time.monotonic(), 0

    def add_step(self) -> None:
        """Counts a step; the first one compiles and does not count."""
        if not self._compiled:
            self._compiled = True
            self.restart()
            return
        self._steps += 1

    def tokens_per_second(self) -> float:
        """The speed since the last restart, or the last one known; 0 at the very start."""
        if self._steps:
            self._last = self._steps * self.tokens / (time.monotonic() - self._start)
        return self._last
