"""Base paths in local folders: whole versions by a rename."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path

from serving.storage.errors import StorageError

# TensorFlow Serving takes a folder with this file for a version.
MARKER = "saved_model.pb"
LOCK_SECONDS = 600.0
_LOCK_POLL_SECONDS = 0.1


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative POSIX path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same content."""
    ours, theirs = files_of(one), files_of(other)
    if ours.keys() != theirs.keys():
        return False
    return all(_digest(ours[name]) == _digest(theirs[name]) for name in ours)


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def list_versions(base: Path) -> dict[int, str]:
    """See `serving.storage.list_versions`."""
    try:
        entries = [entry for entry in base.iterdir() if _is_number(entry.name)]
        return {int(one.name): str(one) for one in entries if (one / MARKER).is_file()}
    except OSError as error:
        raise StorageError(f"expected a folder at {base}. Received: {error.strerror}") from None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def copy(source: Path, destination: Path, needed: str = "") -> None:
    """See `serving.storage.download`; of a file or a folder."""
    partial = destination.with_name(f".partial-{destination.name}")
    try:
        if needed and not (source / needed).is_file():
            raise StorageError(f"expected {needed} in {source}. Received: no such file")
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
            _flush(partial)
        else:
            shutil.copyfile(source, partial)
            _flush_one(partial)
        partial.replace(destination)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
        raise StorageError(f"could not copy {source} to {destination}: {error}") from None


def merge(source: Path, destination: Path) -> None:
    """See `serving.storage.upload`."""
    for name, path in (files_of(source) if source.is_dir() else {"": source}).items():
        copy(path, destination / name)


def publish(source: Path, base: Path, version: int) -> Path:
    """See `serving.storage.publish`."""
    target = base / str(version)
    try:
        base.mkdir(parents=True, exist_ok=True)
        with (base / ".publishing").open("w") as lock:
            # Two publishers of one version would share the partial folder.
            _lock(lock.fileno(), base)
            if target.exists():
                if target.resolve() != source.resolve() and not same_files(source, target):
                    raise StorageError(
                        f"expected no version {version} in {base}, or the same model. "
                        "Received: another model under that number"
                    )
                return target
            copy(source, target)
            _flush_one(base)
    except OSError as error:
        raise StorageError(f"could not publish to {base}: {error.strerror}") from None
    return target


def _lock(descriptor: int, base: Path) -> None:
    """Waits for the lock.

    Raises:
        StorageError: another publisher holds it for too long.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StorageError(
                    f"expected nobody else to publish to {base} for {LOCK_SECONDS:g} s. Received: "
                    "somebody who still does; try again when it is done"
                ) from None
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def _flush(folder: Path) -> None:
    """Files and folders reach the disk before their new name does."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_file() or path.is_dir():
            _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
