"""Settings of the interpreter that keep a busy server's slowest answers short."""

from __future__ import annotations

import gc
import sys

# A load of a SavedModel is seconds of Python. Whoever wants the interpreter meanwhile waits for
# this long at a time, several times a request; Python's own 5 ms make that tens of milliseconds.
_SWITCH_SECONDS = 0.0005


def settle() -> None:
    """Call it once everything is imported, before the first model is loaded.

    The half a million objects that TensorFlow brings along are never freed, so collections need
    not look at them: a full one, as every unload needs it, takes 0.3 s otherwise, in which nothing
    is answered.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
