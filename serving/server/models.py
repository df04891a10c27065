"""The versions of one model: found, loaded, warmed, announced, drained, unloaded."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gc
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from serving.server.errors import StatusError, invalid_argument, not_found, one_line
from serving.server.source import complete_versions

if TYPE_CHECKING:
    from serving.server.predict import LoadedModel

logger = logging.getLogger(__name__)


class State(enum.IntEnum):
    """States of a version, numbered as in TensorFlow Serving's ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Version:
    """One version and what became of it; guarded by the manager's lock.

    Attributes:
        error: why it could not be loaded.
        attempts: loads that failed so far.
        next_attempt: monotonic time before which it is not tried again.
        in_flight: requests that it is answering now.
    """

    number: int
    path: Path
    state: State = State.START
    error: StatusError | None = None
    attempts: int = 0
    next_attempt: float = 0.0
    in_flight: int = 0
    model: LoadedModel | None = None


class ModelManager:
    """Serves the latest version under a base path, and swaps to a newer one without a gap."""

    def __init__(
        self,
        name: str,
        base_path: Path,
        *,
        poll_seconds: float = 1.0,
        max_retries: int = 5,
        retry_seconds: float = 60.0,
    ) -> None:
        """Nothing is loaded before `start`.

        Args:
            name: what requests call the model.
            base_path: folder of numeric version folders; it may not exist yet.
            poll_seconds: pause between looks at the base path.
            max_retries: further attempts at a version whose load failed.
            retry_seconds: pause between those attempts.
        """
        self.name = name
        self._base_path = base_path
        self._poll_seconds = poll_seconds
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self._versions: dict[int, Version] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="versions", daemon=True)

    def start(self) -> None:
        """Starts to watch the base path."""
        self._watcher.start()

    def stop(self) -> None:
        """Stops watching; loaded versions go on answering."""
        self._stopping.set()

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str = ""
    ) -> Iterator[tuple[int, LoadedModel]]:
        """Holds a version for one request, so that it is not unloaded meanwhile.

        Args:
            name: the model's name in the request.
            version: the one asked for; None for the latest.
            label: a version label; none are configured here.

        Raises:
            StatusError: no such model, version or label is available.
        """
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        if label:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        with self._changed:
            held = self._available(name, version)
            held.in_flight += 1
        try:
            assert held.model is not None
            yield held.number, held.model
        finally:
            with self._changed:
                held.in_flight -= 1
                self._changed.notify_all()

    def _available(self, name: str, version: int | None) -> Version:
        ready = [v for v in self._versions.values() if v.state == State.AVAILABLE]
        if name == self.name and version is None and ready:
            return max(ready, key=lambda entry: entry.number)
        for entry in ready:
            if name == self.name and entry.number == version:
                return entry
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise not_found(f"Servable not found for request: {asked}")

    def states(self, name: str, version: int | None = None) -> list[Version]:
        """Copies of what is known about versions, newest first.

        Raises:
            StatusError: nothing is known about that model or version.
        """
        with self._changed:
            known = [
                dataclasses.replace(entry, model=None)
                for entry in self._versions.values()
                if name == self.name and version in (None, entry.number)
            ]
        if not known and version is None:
            raise not_found(f"Could not find any versions of model {name}")
        if not known:
            raise not_found(f"Could not find version {version} of model {name}")
        return sorted(known, key=lambda entry: entry.number, reverse=True)

    def _watch(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                found = complete_versions(self._base_path)
                if not found and not told:
                    logger.info("waiting for a first version in %s", self._base_path)
                    told = True
                if found is not None:
                    self._aspire(found)
            except Exception:
                # The watcher must outlive a surprise: without it no version would come any more.
                logger.exception("could not look after the versions in %s", self._base_path)
            self._stopping.wait(self._poll_seconds)

    def _aspire(self, found: dict[int, Path]) -> None:
        """Makes the latest version found the one that is served."""
        newest = max(found, default=None)
        if newest is not None and not self._ready(newest, found[newest]):
            return
        for entry in list(self._versions.values()):
            if entry.number != newest and entry.state == State.AVAILABLE:
                self._unload(entry)

    def _ready(self, number: int, path: Path) -> bool:
        """Whether a version is available, after an attempt to load it where one is due."""
        with self._changed:
            entry = self._versions.get(number)
            if entry is None or (entry.state == State.END and entry.error is None):
                entry = self._versions[number] = Version(number, path)
        if entry.state == State.AVAILABLE:
            return True
        if entry.attempts > self._max_retries or time.monotonic() < entry.next_attempt:
            return False
        return self._load(entry)

    def _load(self, entry: Version) -> bool:
        from serving.server.predict import LoadedModel
        from serving.server.warmup import warm_up

        self._set(entry, State.LOADING)
        started = time.monotonic()
        try:
            model = LoadedModel(entry.path)
            requests = warm_up(model, entry.path)
        except Exception as error:
            entry.attempts += 1
            entry.next_attempt = time.monotonic() + self._retry_seconds
            failure = _load_failure(error)
            self._set(entry, State.END, failure)
            logger.error("version %d failed to load: %s", entry.number, failure.message)
            return False
        with self._changed:
            entry.model, entry.error, entry.attempts = model, None, 0
        self._set(entry, State.AVAILABLE)
        seconds = time.monotonic() - started
        logger.info(
            "version %d is AVAILABLE after %.1f s and %d warmup requests",
            entry.number,
            seconds,
            requests,
        )
        return True

    def _unload(self, entry: Version) -> None:
        """Waits for the requests under way, then lets go of the model."""
        self._set(entry, State.UNLOADING)
        with self._changed:
            self._changed.wait_for(lambda: entry.in_flight == 0)
            entry.model = None
        # A SavedModel's functions and its owner refer to each other.
        gc.collect()
        self._set(entry, State.END)
        logger.info("version %d is unloaded", entry.number)

    def _set(self, entry: Version, state: State, error: StatusError | None = None) -> None:
        with self._changed:
            entry.state, entry.error = state, error
            self._changed.notify_all()


def _load_failure(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return StatusError(error.code, f"warmup request failed: {error.message}")
    return StatusError(
        grpc.StatusCode.FAILED_PRECONDITION, one_line(str(error) or type(error).__name__)
    )
