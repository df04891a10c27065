"""The output folder of local runs: what lies where in it, and who may write to it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from components.errors import BusyError, PublishError


@dataclasses.dataclass(frozen=True)
class Output:
    """Folders of local runs below one root."""

    root: Path

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def latest(self) -> Path:
        """A link to the records of the run that started last."""
        return self.root / "latest"

    def new_records(self) -> Path:
        """Creates the folder of a new run's records; its name is the run's name."""
        name = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        for attempt in range(1, 1000):
            path = self.root / "records" / (name if attempt == 1 else f"{name}-{attempt}")
            with contextlib.suppress(FileExistsError):
                path.mkdir(parents=True)
                break
        link = self.root / f".latest-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.relative_to(self.root))
        link.replace(self.latest)
        return path


@contextlib.contextmanager
def locked(output: Output) -> Iterator[int]:
    """Holds the output folder for one run.

    Yields:
        The descriptor of the lock; a process that inherits it holds the folder too.

    Raises:
        BusyError: another run holds the folder.
        PublishError: the folder cannot be created or written.
    """
    path = output.root / ".lock"
    try:
        output.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PublishError(
            f"expected an output folder that can be written at {output.root}. "
            f"Received: {error.strerror}. Free or choose another one with --output"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text("utf-8").strip() or "another run"
            raise BusyError(
                f"{output.root} is in use by {holder}. Wait for it to end, or choose another "
                "folder with --output"
            ) from None
        started = datetime.datetime.now().strftime("%H:%M:%S")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, started at {started}".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
