"""Local copies of versions that lie in object storage; local ones are used where they are."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from pathlib import Path

from serving.server.source import REMOTE

_LOCK = "lock"


class Mirror:
    """A folder of this process's own for downloaded versions.

    A copy stays as long as its version is loaded: a graph may read its assets while it runs.
    """

    def __init__(self, parent: Path) -> None:
        """Nothing is created before the first copy.

        Args:
            parent: where to put the folder; what killed processes left in it is removed.
        """
        self._parent = parent
        self._making = threading.Lock()
        self._root: Path | None = None
        self._lock_file: int | None = None

    def local_copy(self, location: str) -> Path:
        """The folder of a version, downloaded where it is not local.

        It appears under its name only once it is whole: a process that is killed meanwhile leaves
        nothing that could be taken for a version.

        Args:
            location: a path, a gs:// or an s3:// URI.

        Raises:
            Exception: whatever the storage raises.
        """
        if not location.startswith(REMOTE):
            return Path(location)
        from serving.storage import download_version

        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._own_folder()))
        try:
            download_version(location, partial / "version")
            return (partial / "version").rename(self._own_folder() / partial.name[1:])
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def discard(self, location: str, copy: Path) -> None:
        """Removes a copy that is no longer needed; a local version stays."""
        if location.startswith(REMOTE):
            shutil.rmtree(copy, ignore_errors=True)

    def close(self) -> None:
        """Removes every copy."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def _own_folder(self) -> Path:
        with self._making:
            if self._root is None:
                self._parent.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(self._parent)
                root = Path(tempfile.mkdtemp(prefix="server-", dir=self._parent))
                # Held until the process ends, however it does.
                self._lock_file = os.open(root / _LOCK, os.O_CREAT | os.O_RDWR)
                fcntl.flock(self._lock_file, fcntl.LOCK_EX)
                self._root = root
            return self._root


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders of processes that no longer run."""
    for folder in parent.glob("server-*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            # Just made by another process, or not ours to remove.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass
        finally:
            os.close(lock)
