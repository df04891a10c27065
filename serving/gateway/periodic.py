"""Something that is done again and again in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Periodic:
    """A thread that does something now and after each pause.

    Args:
        name: of the thread.
        action: what it does; it must raise nothing.
        seconds: of each pause.
    """

    def __init__(self, name: str, action: Callable[[], None], seconds: float) -> None:
        self._action, self._seconds = action, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, unless it hangs in the action."""
        self._stop.set()
        self._thread.join(1)

    def _run(self) -> None:
        while True:
            self._action()
            if self._stop.wait(self._seconds):
                return
