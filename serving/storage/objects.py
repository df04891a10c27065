"""What the object stores have in common: versions file by file, the one that makes them last."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from serving.storage.checksums import checksum, crc32c, matches
from serving.storage.errors import IntegrityError, StorageError, TakenError
from serving.storage.local import MARKER, files_of

# Bytes of one request; what a killed transfer has to do again.
PART = 8 << 20

# Is told the bytes that are done and the bytes of the whole.
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Stored:
    """An object as a listing tells of it.

    Attributes:
        key: its whole name in the bucket.
        size: in bytes.
        tag: of this very content: the generation, or the ETag.
        checksum: see `serving.storage.checksums`; empty where only `Store.checksum` knows.
    """

    key: str
    size: int
    tag: str
    checksum: str = ""


class Store(Protocol):
    """A kind of object storage; every call may raise what `errors` turns into one line."""

    scheme: str

    def listing(self, bucket: str, prefix: str) -> Iterator[Stored]:
        """Every object whose name begins so, in the order of the names."""

    def versions(self, bucket: str, prefix: str) -> Iterable[str]:
        """Names of the folders below a prefix that hold the marker."""

    def checksum(self, bucket: str, stored: Stored) -> str:
        """The checksum that the store verified or was given; empty for none that can be checked."""

    def read(self, bucket: str, stored: Stored, start: int, end: int) -> bytes:
        """The bytes from `start` until before `end`, of this very content."""

    def put(self, bucket: str, key: str, path: Path, before: Stored | None, told: Progress) -> None:
        """Writes a file over what was listed, or where nothing was; goes on with a killed one."""

    def delete(self, bucket: str, stored: Stored) -> None:
        """Deletes an object."""

    def errors(self, where: str) -> contextlib.AbstractContextManager[None]:
        """Turns what the library raises into a `StorageError`."""


def list_versions(store: Store, base: str) -> dict[int, str]:
    """See `serving.storage.list_versions`."""
    bucket, prefix = split(base)
    with store.errors(base):
        names = list(store.versions(bucket, prefix))
    return {
        int(name): f"{store.scheme}{bucket}/{prefix}{name}"
        for name in names
        if name.isascii() and name.isdecimal()
    }


def publish(store: Store, source: Path, base: str, version: int, progress: Progress) -> str:
    """See `serving.storage.publish`."""
    bucket, prefix = split(base)
    folder = f"{prefix}{version}/"
    location = f"{store.scheme}{bucket}/{folder.rstrip('/')}"
    files = files_of(source)
    sums = {name: crc32c(path) for name, path in files.items()}
    with store.errors(base):
        there = _below(store, bucket, folder)
        if MARKER in there:
            if _differing(store, bucket, there, sums):
                raise TakenError(
                    f"expected no version {version} in {base}, or the same model. "
                    "Received: another model under that number"
                )
            return location
        # What an upload that was cut short left behind, and this model does not have.
        for name in there.keys() - files.keys():
            store.delete(bucket, there[name])
        # Every file is written only over what was listed, the one that makes it a version
        # last: of two that publish at once, one finds another content and stops.
        marker = files.pop(MARKER)
        told = Sum(progress, sum(path.stat().st_size for path in files.values()))
        for name, path in files.items():
            known = there.get(name)
            if known is None or store.checksum(bucket, known) != sums[name]:
                _put(store, bucket, folder + name, path, known, told.part)
            told.next(path.stat().st_size)
        _check_alone(store, bucket, folder, {name: sums[name] for name in files})
        _put(store, bucket, folder + MARKER, marker, None, told.part)
        try:
            _check_alone(store, bucket, folder, sums)
        except TakenError:
            # No version is better than one of two models.
            for stored in store.listing(bucket, folder + MARKER):
                store.delete(bucket, stored)
            raise
    return location


def _differing(store: Store, bucket: str, there: dict[str, Stored], sums: dict[str, str]) -> str:
    """A file that is not there, or has another content, or is there in addition; "" for none."""
    for name in sorted(there.keys() | sums.keys()):
        if name not in there or name not in sums:
            return name
        if store.checksum(bucket, there[name]) != sums[name]:
            return name
    return ""


def _check_alone(store: Store, bucket: str, folder: str, sums: dict[str, str]) -> None:
    """Raises TakenError where somebody else has written to the version."""
    if name := _differing(store, bucket, _below(store, bucket, folder), sums):
        raise TakenError(
            f"somebody else publishes to {store.scheme}{bucket}/{folder} at the same time; {name} "
            "is theirs. Publish again"
        )


def upload(store: Store, source: Path, uri: str, progress: Progress) -> None:
    """See `serving.storage.upload`."""
    bucket, prefix = split(uri)
    if source.is_dir():
        files = {prefix + name: path for name, path in files_of(source).items()}
    elif prefix and not uri.endswith("/"):
        files = {prefix.rstrip("/"): source}
    else:
        raise StorageError(f"expected the name of the file too, {uri}NAME. Received: {uri}")
    told = Sum(progress, sum(path.stat().st_size for path in files.values()))
    with store.errors(uri):
        listed = prefix if source.is_dir() else prefix.rstrip("/")
        there = {stored.key: stored for stored in store.listing(bucket, listed)}
        for key, path in files.items():
            before = there.get(key)
            if before is None or store.checksum(bucket, before) != crc32c(path):
                _put(store, bucket, key, path, before, told.part)
            told.next(path.stat().st_size)


def download(
    store: Store, uri: str, destination: Path, progress: Progress, needed: str = ""
) -> None:
    """See `serving.storage.download`."""
    bucket, prefix = split(uri)
    with store.errors(uri):
        found = _below(store, bucket, prefix)
        if needed and needed not in found:
            raise StorageError(f"expected {needed} in {uri}. Received: no {needed} there")
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".partial-{destination.name}")
        if found:
            _fetch_folder(store, bucket, found, partial, progress)
        else:
            key = prefix.rstrip("/")
            files = [one for one in store.listing(bucket, key) if one.key == key and key]
            if not files:
                raise StorageError(f"expected {uri} to exist. Received: no such file or folder")
            fetch(store, bucket, files[0], partial, Sum(progress, files[0].size).part)
        partial.rename(destination)


def _fetch_folder(
    store: Store, bucket: str, found: dict[str, Stored], partial: Path, progress: Progress
) -> None:
    targets = {name: inside(partial, name) for name in found}
    # What an attempt at something else left.
    if partial.is_file():
        partial.unlink()
    for path in files_of(partial).values() if partial.is_dir() else ():
        if path not in targets.values():
            path.unlink()
    told = Sum(progress, sum(stored.size for stored in found.values()))
    for name, stored in found.items():
        targets[name].parent.mkdir(parents=True, exist_ok=True)
        fetch(store, bucket, stored, targets[name], told.part)
        told.next(stored.size)


def fetch(
    store: Store, bucket: str, stored: Stored, path: Path, told: Callable[[int], None]
) -> None:
    """Gets one object, goes on with what `path` has of it, and verifies the whole.

    Args:
        path: of a partial file or none; other content in it is found by the checksum, and it is
            fetched anew.

    Raises:
        IntegrityError: what came is not what the store has.
    """
    expected = store.checksum(bucket, stored)
    if path.is_dir():
        shutil.rmtree(path)
    went_on = path.is_file() and 0 < path.stat().st_size <= stored.size and bool(expected)
    if not went_on:
        path.unlink(missing_ok=True)
    while True:
        with path.open("ab") as stream:
            position = stream.tell()
            while position < stored.size:
                end = min(position + PART, stored.size)
                content = store.read(bucket, stored, position, end)
                if len(content) != end - position:
                    raise IntegrityError(
                        f"expected {end - position} bytes of {store.scheme}{bucket}/{stored.key} "
                        f"from {position} on. Received: {len(content)}; try again"
                    )
                stream.write(content)
                position = end
                told(position)
        if not expected or matches(path, expected):
            return
        received = checksum(path, expected.partition(":")[0])
        path.unlink()
        if not went_on:
            raise IntegrityError(
                f"expected {store.scheme}{bucket}/{stored.key} with the checksum {expected}. "
                f"Received: {received}; it was damaged on the way or in the store. Try again, or "
                "upload it again"
            )
        went_on = False


def _put(
    store: Store, bucket: str, key: str, path: Path, before: Stored | None, told: Progress
) -> None:
    try:
        with store.errors(f"{store.scheme}{bucket}/{key}"):
            store.put(bucket, key, path, before, told)
    except TakenError:
        # Where an answer was lost, the library asked again, and met what it had written itself.
        there = [one for one in store.listing(bucket, key) if one.key == key]
        if not there or store.checksum(bucket, there[0]) != crc32c(path):
            raise


def _below(store: Store, bucket: str, folder: str) -> dict[str, Stored]:
    """The files of a folder by their names in it; objects that stand for folders are none."""
    found = store.listing(bucket, folder)
    return {one.key[len(folder) :]: one for one in found if not one.key.endswith("/")}


def inside(folder: Path, name: str) -> Path:
    """The path of a file that must not lead out of its folder."""
    target = folder / name
    if ".." in target.parts or not target.is_relative_to(folder):
        raise StorageError(f"expected names below the folder. Received: {name!r}")
    return target


def split(uri: str) -> tuple[str, str]:
    """Bucket, and prefix with a slash at its end."""
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise StorageError(f"expected {scheme}://BUCKET/FOLDER. Received: {uri}")
    path = path.strip("/")
    return bucket, f"{path}/" if path else ""


class Sum:
    """Makes the progress of files into that of the whole."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._before = progress, total, 0

    def part(self, done: int, _size: int = 0) -> None:
        self._progress(self._before + done, self._total)

    def next(self, size: int) -> None:
        self._before += size
