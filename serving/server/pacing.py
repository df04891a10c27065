"""Settings of the interpreter that keep a busy server's slowest answers short."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator

# A load of a SavedModel is seconds of Python. Whoever wants the interpreter meanwhile waits for
# this long at a time, several times a request; Python's own 5 ms make that tens of milliseconds.
# Without a load the 5 ms are better: with 0.5 ms a small call took 15% more CPU time.
_SWITCH_SECONDS = 0.0005

_lock = threading.Lock()
_loads = 0
_usual = 0.0


def settle() -> None:
    """Call it once everything is imported, before the first model is loaded.

    The half a million objects that TensorFlow brings along are never freed, so collections need
    not look at them: a full one, as every unload needs it, takes 0.3 s otherwise, in which nothing
    is answered.
    """
    gc.freeze()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Meanwhile threads that answer requests get the interpreter more often."""
    global _loads, _usual
    with _lock:
        if _loads == 0:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_SECONDS)
        _loads += 1
    try:
        yield
    finally:
        with _lock:
            _loads -= 1
            if _loads == 0:
                sys.setswitchinterval(_usual)
