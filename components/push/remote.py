"""Publishes to object stores, through the one implementation that serving reads with."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from components.artifacts import PROVENANCE_FOLDER, Published, published_versions
from components.errors import PublishError
from components.transfers import printed
from serving.storage import (
    MissingError,
    StorageError,
    TakenError,
    is_remote,
    list_versions,
    publish,
    snapshot,
)

# Of two pushes that choose the same number, one has to choose again.
_ATTEMPTS = 4


def versions_of(base_path: Path | str, model_name: str) -> dict[int, str]:
    """The published versions of a model by number: a path or URI each.

    Raises:
        PublishError: the object store cannot be read.
    """
    base = str(base_path)
    if is_remote(base):
        with _one_line():
            return list_versions(_folder(base, model_name))
    found = published_versions(Path(base_path), model_name)
    return {one.version: str(one.path) for one in found}


def local_version(
    location: str, cache: Path | None = None, what: str = "push.base_path"
) -> Published:
    """A version where steps can read it: fetched into the cache if it lies in an object store.

    Args:
        location: its path or URI.
        cache: another folder than the machine's own cache.
        what: names the setting that the location comes from, for messages.

    Raises:
        PublishError: it cannot be fetched.
    """
    if not is_remote(location):
        return Published(Path(location))
    with _one_line(what):
        return Published(snapshot(location, printed(location), cache=cache), location)


def publish_remotely(base: str, model_name: str, fill: Callable[[Path], None]) -> Published:
    """Publishes what `fill` writes as the next version, and reads it back.

    Killed at any moment, it leaves no version, and the next push goes on with what has arrived.

    Args:
        base: gs:// or s3:// folder of the models.
        model_name: the model's name below it.
        fill: writes the whole version into the empty folder that it is given.

    Raises:
        PublishError: the store refuses; earlier versions stay as they were.
    """
    with tempfile.TemporaryDirectory(prefix="loomline-push-") as temporary:
        version = Path(temporary) / "version"
        version.mkdir()
        fill(version)
        with _one_line():
            return local_version(_publish(version, _folder(base, model_name)))


def publish_as(version: Path, base: str, model_name: str, number: int) -> Published:
    """Publishes a folder as the version of that number, or of none.

    Raises:
        PublishError: the store refuses, or has another model under that number.
    """
    folder = _folder(base, model_name)
    with _one_line():
        return local_version(publish(version, folder, number, printed(f"{folder}/{number}")))


def file_beside(location: str, name: str) -> Path | None:
    """A file that lies in `loomline/` of a version, or None; of an object store only that file.

    Raises:
        PublishError: the object store cannot be read.
    """
    if not is_remote(location):
        path = Published(Path(location)).provenance_folder / name
        return path if path.is_file() else None
    with _one_line():
        try:
            return snapshot(f"{location}/{PROVENANCE_FOLDER}/{name}")
        except MissingError:
            return None


def _publish(version: Path, folder: str) -> str:
    for attempt in range(_ATTEMPTS):
        number = max(list_versions(folder), default=0) + 1
        try:
            return publish(version, folder, number, printed(f"{folder}/{number}"))
        except TakenError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 2**attempt))
    raise AssertionError("unreachable")


def _folder(base: str, model_name: str) -> str:
    return f"{base.rstrip('/')}/{model_name}"


@contextlib.contextmanager
def _one_line(what: str = "push.base_path") -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise PublishError(f"{what}: {error}") from None
