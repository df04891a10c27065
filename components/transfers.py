"""What steps fetch from object stores and put there, with the progress that they print."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath

from components.errors import DataError
from serving.storage import StorageError, is_remote, snapshot
from serving.storage.objects import Progress

REMOTE = "gs://, s3://"
_EVERY_SECONDS = 5.0


def local_source(source: str, tables: tuple[str, ...] = ()) -> str:
    """A source where steps can read it: fetched into the cache if it lies in an object store.

    Args:
        source: as the configuration names it.
        tables: endings of files that name further files beside them, which come along.

    Raises:
        DataError: it cannot be fetched.
    """
    if not is_remote(source):
        return source
    beside = PurePosixPath(source).suffix.lower() in tables
    try:
        return str(snapshot(source, printed(source), beside=beside))
    except StorageError as error:
        raise DataError(f"ingest.source: {error}") from None


def resolved(location: str | Path) -> str:
    """A URI as it is, a path made absolute."""
    return str(location) if is_remote(str(location)) else str(Path(location).resolve())


def printed(what: str) -> Progress:
    """Prints how far a transfer is, every few seconds; short ones stay silent."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY_SECONDS:
            last = now
            print(f"progress: {done >> 20:,} of {total >> 20:,} MiB of {what}", flush=True)

    return told
