"""Remembers, between a step's attempts on a cluster, that it ended by a user's mistake.

Kubeflow runs a step again whose pod failed, for whatever cause: its launcher ends with exit code 1
even where the step ended with 2, and the policy of its retries takes no expression. So the step
that a user has to mend leaves a note on the volume, and the attempts after it repeat the message
instead of the work.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

_ATTEMPT = re.compile(r"(.+)\((\d+)\)")


def earlier_mistake() -> str:
    """The message by which an earlier attempt of this step ended; empty where there was none.

    A first attempt forgets what it finds: a person has mended something and retries the run.
    """
    note, attempt = _note()
    if note is None:
        return ""
    with contextlib.suppress(OSError):
        if attempt > 0:
            return note.read_text("utf-8")
        note.unlink(missing_ok=True)
    return ""


def remember_mistake(message: str) -> None:
    """Leaves a note for the attempts after this one."""
    note, _ = _note()
    if note is None:
        return
    # The volume may be what is wrong; then every attempt finds out by itself.
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(message, "utf-8")


def this_step() -> str:
    """What this step of this run is called, the same for all its attempts; empty on a laptop."""
    named = _ATTEMPT.fullmatch(os.environ.get("LOOMLINE_ATTEMPT", ""))
    return named[1] if named else ""


def _note() -> tuple[Path | None, int]:
    """Where the note of this step of this run lies, and which attempt this is, from 0."""
    named = _ATTEMPT.fullmatch(os.environ.get("LOOMLINE_ATTEMPT", ""))
    folder = os.environ.get("LOOMLINE_MISTAKES")
    if named is None or not folder:
        return None, 0
    return Path(folder) / hashlib.sha256(named[1].encode()).hexdigest(), int(named[2])
