"""Files and base paths of models, in local folders and in object stores: list, fetch, publish."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from serving.storage import local
from serving.storage.errors import IntegrityError, MissingError, StorageError, TakenError
from serving.storage.objects import Progress

__all__ = [
    "IntegrityError",
    "MissingError",
    "StorageError",
    "TakenError",
    "download",
    "download_version",
    "is_remote",
    "list_versions",
    "publish",
    "snapshot",
    "upload",
]

_STORES = {"gs://": ("serving.storage.gcs", "Gcs"), "s3://": ("serving.storage.s3", "S3")}


def is_remote(location: str) -> bool:
    """Whether a location lies in an object store: gs:// or s3://."""
    return location.startswith(tuple(_STORES))


def list_versions(base: str) -> dict[int, str]:
    """The versions that a server could load.

    Args:
        base: folder of numeric version folders; a path, gs:// or s3://BUCKET/PREFIX.

    Returns:
        The path or URI of each version that is complete.

    Raises:
        StorageError: the base cannot be read.
    """
    if not is_remote(base):
        return local.list_versions(Path(base))
    from serving.storage import objects

    return objects.list_versions(_store(base), base)


def download_version(location: str, destination: Path) -> None:
    """Copies a version to a new local folder, which appears when it is whole.

    Args:
        location: of the version; a path or URI.
        destination: must not exist yet.

    Raises:
        StorageError: it cannot be read or written, or there is no SavedModel.
    """
    download(location, destination, needed=local.MARKER)


def download(
    uri: str, destination: Path, progress: Progress | None = None, *, needed: str = ""
) -> None:
    """Copies a file or a folder here, where it appears under its name when it is whole.

    Every file is verified by the checksum that the store has. Asked again after a failure, or
    after it was killed, it goes on where it was, in `.partial-NAME` beside the destination.

    Args:
        uri: of a file or a folder; a path, gs:// or s3://.
        destination: must not exist yet.
        progress: is told the bytes that are done and the bytes of the whole.
        needed: a file that the folder must have.

    Raises:
        IntegrityError: what came is not what the store has.
        StorageError: it cannot be read or written.
    """
    if destination.exists():
        raise StorageError(f"expected nothing at {destination}. Received: something is there")
    if not is_remote(uri):
        local.copy(Path(uri), destination, needed)
        return
    from serving.storage import objects

    objects.download(_store(uri), uri, destination, progress or _untold, needed)


def upload(source: Path, uri: str, progress: Progress | None = None) -> None:
    """Copies a file or a folder to a place; every file appears when it is whole.

    What the store has already is not sent again, and the upload of a large file that was killed
    goes on where it was. The store verifies the checksum of every file.

    Args:
        source: a file or a folder.
        uri: its new name; a path, gs:// or s3://. Other files in such a folder stay.
        progress: is told the bytes that are done and the bytes of the whole.

    Raises:
        IntegrityError: what arrived is not what was sent.
        StorageError: there is no such source, or the storage refuses.
    """
    if not source.exists():
        raise StorageError(f"expected a file or a folder at {source}. Received: nothing there")
    if not is_remote(uri):
        local.merge(source, Path(uri))
        return
    from serving.storage import objects

    objects.upload(_store(uri), source, uri, progress or _untold)


def publish(source: Path, base: str, version: int, progress: Progress | None = None) -> str:
    """Puts a version where servers find it; no server ever sees a part of it.

    Asked again after a failure, or after it was killed, it goes on where it was; asked again for
    what is there already, it does nothing.

    Args:
        source: folder of a SavedModel.
        base: folder of numeric version folders; a path, gs:// or s3://BUCKET/PREFIX.
        version: its number.
        progress: is told the bytes that are done and the bytes of the whole.

    Returns:
        The path or URI of the version.

    Raises:
        TakenError: the version exists with other content, or somebody publishes it now.
        StorageError: the storage refuses.
    """
    if not (source / local.MARKER).is_file():
        raise StorageError(f"expected a SavedModel at {source}. Received: no {local.MARKER} there")
    if not is_remote(base):
        return str(local.publish(source, Path(base), version))
    from serving.storage import objects

    return objects.publish(_store(base), source, base, version, progress or _untold)


def snapshot(
    uri: str,
    progress: Progress | None = None,
    *,
    beside: bool = False,
    cache: Path | None = None,
) -> Path:
    """The local copy of a file, a folder or the matches of a glob, as they are now.

    Every content is downloaded once into the cache (`serving.storage.cache`) and found there by
    its generation or ETag, so that asking again costs a listing.

    Args:
        uri: gs:// or s3://; `*`, `?`, `[...]` and `**` as in a local glob.
        progress: is told the bytes that are done and the bytes of the whole.
        beside: of a file or a glob, take everything in and below its folder along.
        cache: another folder than the machine's own, such as one that other machines see, too.

    Returns:
        A path of the same kind: of the file, of the folder, or the glob below a local folder.

    Raises:
        IntegrityError: what came is not what the store has.
        MissingError: nothing is there.
        StorageError: it cannot be read.
    """
    from serving.storage import snapshots

    return snapshots.snapshot(_store(uri), uri, progress or _untold, beside, cache)


def _store(location: str) -> Any:
    scheme = location[: location.index("://") + 3]
    module, name = _STORES[scheme]
    return getattr(importlib.import_module(module), name)()


def _untold(done: int, total: int) -> None:
    """Progress that nobody asked for."""
