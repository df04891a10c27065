"""Publishes a version on a file system so that no server can ever load a half-written one.

Everything is copied into a hidden folder beside the versions, flushed to the disk, checked, and
only then renamed to its number, which is one step for every reader. A killed push leaves at most
such a hidden folder, and the next push removes it. What waits for a person's approval lies beside
the versions in the same form, so that approving it is the renaming alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from components.artifacts import Published, published_versions
from components.errors import PublishError

_LOCK = ".lock"
_TEMPORARY = ".push-"
_FLUSH_MODE = os.O_RDONLY
LOCK_SECONDS = 600.0
_LOCK_POLL_SECONDS = 0.1


@contextlib.contextmanager
def exclusive(base_path: Path, model_name: str, seconds: float = LOCK_SECONDS) -> Iterator[Path]:
    """Holds the model's folder for one push at a time; others wait.

    The lock belongs to the open file, so a killed process cannot leave it behind. Whatever
    temporary folder is found under it is therefore the rest of a killed push, and is removed.

    Args:
        base_path: holds a folder for every model.
        model_name: of the model.
        seconds: to wait for another push.

    Yields:
        The folder of the model's versions, created where it was missing.

    Raises:
        PublishError: the folder cannot be created, locked in time, or written.
    """
    folder = base_path / model_name
    with _one_line(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("a") as lock:
            _lock(lock.fileno(), folder, seconds)
            for leftover in folder.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(leftover)
            yield folder


def _lock(descriptor: int, folder: Path, seconds: float) -> None:
    """Waits for the lock, and says so once.

    Raises:
        PublishError: another push holds it for too long.
    """
    deadline = time.monotonic() + seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise PublishError(
                    f"expected no other push to {folder} for {seconds:g} s. Received: one that "
                    f"holds {folder / _LOCK}; nothing was published. Wait for it, or end it"
                ) from None
            if not told:
                print(f"progress: waiting for another push to {folder}", flush=True)
                told = True
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def publish(folder: Path, fill: Callable[[Path], None]) -> Published:
    """Publishes what `fill` writes as the next version.

    Args:
        folder: the folder that `exclusive` yielded.
        fill: writes the whole version into the folder it is given; whatever it raises stops the
            push and leaves nothing behind.

    Raises:
        PublishError: the folder cannot be written; the versions in it stay as they were.
    """
    temporary = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with _one_line(folder):
            temporary.mkdir()
            fill(temporary)
            _flush(temporary)
            return _name(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def stage(folder: Path, waiting: Path, fill: Callable[[Path], None]) -> None:
    """Puts what `fill` writes where it waits for approval, in place of what waited there.

    Args:
        folder: the folder that `exclusive` yielded.
        waiting: a folder on the same file system.
        fill: see `publish`.

    Raises:
        PublishError: the folder cannot be written.
    """
    temporary = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with _one_line(folder):
            temporary.mkdir()
            fill(temporary)
            _flush(temporary)
            waiting.parent.mkdir(exist_ok=True)
            if waiting.exists():
                # Removed under its own name a reader could see a part of it.
                waiting.rename(folder / f"{_TEMPORARY}{uuid.uuid4().hex}")
            temporary.rename(waiting)
            _flush_one(waiting.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def adopt(folder: Path, waiting: Path, finish: Callable[[], None]) -> Published:
    """Gives what waited the next number, in one step for every reader.

    Args:
        folder: the folder that `exclusive` yielded.
        waiting: the folder that `stage` filled.
        finish: writes what is still missing in it.

    Raises:
        PublishError: the folder cannot be written; what waits stays.
    """
    with _one_line(folder):
        finish()
        _flush(waiting)
        return _name(waiting, folder)


def copy_tree(source: Path, destination: Path) -> None:
    """Copies files and folders with the permissions that new files have here.

    A step's own folder may be readable by its owner alone, while another user serves the model.
    """
    destination.mkdir(exist_ok=True)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            copy_tree(entry, destination / entry.name)
        else:
            shutil.copyfile(entry, destination / entry.name)


def _name(temporary: Path, folder: Path) -> Published:
    """Renames the finished folder to the next free number."""
    while True:
        numbers = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
        target = folder / str(max(numbers, default=0) + 1)
        try:
            # Someone without our lock may create the same number: rename then fails, because a
            # folder replaces an empty folder only.
            temporary.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                continue
            raise
        _flush_one(folder)
        return Published(target)


def _flush(root: Path) -> None:
    """Waits until the disk has every file and folder, so that a power cut cannot tear them."""
    for path in sorted(root.rglob("*"), reverse=True):
        _flush_one(path)
    _flush_one(root)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, _FLUSH_MODE)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        versions = published_versions(folder.parent, folder.name) if folder.is_dir() else []
        kept = f"version {versions[-1].version} stays" if versions else "nothing was published"
        reason = error.strerror or str(error)
        where = error.filename2 or error.filename or folder
        raise PublishError(
            f"expected to write a version below {folder}. Received: {reason} ({where}); {kept}. "
            "Free space there, or choose another push.base_path"
        ) from None
