"""Where this machine keeps what it fetched, and what it needs to go on with killed transfers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """`LOOMLINE_CACHE`, or `loomline` in the folder that XDG names; it may be deleted any time."""
    if chosen := os.environ.get("LOOMLINE_CACHE"):
        return Path(chosen).absolute()
    parent = os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache").absolute() / "loomline"


def session_of(*identity: object) -> Path:
    """The file that says which upload sends this content to this place."""
    return cache_folder() / "uploads" / digest_of(*identity)


def remember(session: Path, content: str) -> None:
    """Writes a session's file, which only its owner may read."""
    session.parent.mkdir(parents=True, exist_ok=True)
    session.touch(mode=0o600)
    session.write_text(content, "utf-8")


def digest_of(*identity: object) -> str:
    """A name for what these texts and numbers identify."""
    return hashlib.sha256("\0".join(map(str, identity)).encode()).hexdigest()[:40]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder of the cache for one process at a time; killed ones hold nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
