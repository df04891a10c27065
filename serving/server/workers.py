"""The threads that load and unload versions, each at its own pace."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

import grpc

from serving.server.errors import StatusError, one_line
from serving.server.loading import load
from serving.server.mirror import Mirror
from serving.server.versions import State, Version

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How versions are looked for, loaded and unloaded.

    Attributes:
        poll_seconds: pause between looks at the base paths; 0 looks once, below 0 never.
        max_retries: further attempts at a version whose load failed.
        retry_seconds: pause between those attempts.
        load_threads: loads at the same time; 0 is one after the other.
        unload_threads: unloads at the same time; 0 sets no limit.
        drain_seconds: how long an unload waits for the requests under way, at most.
        warmup_iterations: how often each warmup request is replayed; 0 for no warmup.
        labels_for_unavailable: whether a new label may name a version that is not available yet.
        cache: where copies from object storage are put; None: with the temporary files.
    """

    poll_seconds: float = 1.0
    max_retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 0
    unload_threads: int = 0
    drain_seconds: float = 300.0
    warmup_iterations: int = 1
    labels_for_unavailable: bool = False
    cache: Path | None = None


class LoadMetrics(Protocol):
    """What is told about loads; `ServerMetrics` is one."""

    def load(
        self, model: str, version: int, seconds: float, ok: bool, path: str | None = None
    ) -> None:
        """A load of the version in this folder has ended, and how long it took."""


class Workers:
    """Loads and unloads in threads, so that neither waits for the other."""

    def __init__(
        self,
        settings: Settings,
        lock: threading.Condition,
        moved: Callable[[str], None],
    ) -> None:
        """The threads start with the first work.

        Args:
            settings: how many threads, and how long to wait.
            lock: guards the versions.
            moved: is told the model's name, with the lock held, when a load or unload has ended.
        """
        self.metrics: LoadMetrics | None = None
        self._settings = settings
        self._lock = lock
        self._moved = moved
        temporary = Path(tempfile.gettempdir()) / f"loomline-serving-{os.getuid()}"
        self._mirror = Mirror(settings.cache or temporary)
        self._copies: dict[Version, Path] = {}
        self._loads = futures.ThreadPoolExecutor(
            max(settings.load_threads, 1), thread_name_prefix="load"
        )
        # A limit on unloads, where one is set, never counts those that still drain.
        self._releases = threading.Semaphore(settings.unload_threads or 1_000_000)
        self._stopping = False

    def stop(self) -> None:
        """Starts no further work; what is under way ends by itself."""
        self._stopping = True
        self._loads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Removes copies from object storage."""
        self._mirror.close()

    def load(self, model: str, entry: Version) -> None:
        """Queues a load of a version that is marked busy."""
        if not self._stopping:
            self._loads.submit(self._load, model, entry)

    def unload(self, model: str, entry: Version) -> None:
        """Starts to drain and unload a version that is marked UNLOADING."""
        name = f"unload-{model}-{entry.number}"
        threading.Thread(target=self._unload, args=(model, entry), name=name, daemon=True).start()

    def _load(self, model: str, entry: Version) -> None:
        with self._lock:
            if not entry.aspired:
                entry.busy = False
                self._moved(model)
                return
            entry.state = State.LOADING
            self._lock.notify_all()
        started = time.monotonic()
        try:
            loaded, requests = self._loaded(entry)
        except Exception as error:
            self._failed(model, entry, _as_status(error), time.monotonic() - started)
            return
        seconds = time.monotonic() - started
        with self._lock:
            entry.model, entry.error, entry.busy = loaded, None, False
            entry.state = State.AVAILABLE
            self._moved(model)
        self._tell_metrics(model, entry, seconds, ok=True)
        logger.info(
            "%s: version %d is AVAILABLE after %.1f s and %d warmup requests",
            model,
            entry.number,
            seconds,
            requests,
        )

    def _loaded(self, entry: Version) -> tuple[Any, int]:
        path = self._mirror.local_copy(entry.location)
        try:
            result = load(path, warmup_iterations=self._settings.warmup_iterations)
        except BaseException:
            self._mirror.discard(entry.location, path)
            raise
        self._copies[entry] = path
        return result

    def _failed(self, model: str, entry: Version, error: StatusError, seconds: float) -> None:
        with self._lock:
            # Without the traceback, whose frames would keep the model in memory.
            entry.error, entry.busy = StatusError(error.code, error.message), False
            entry.attempts += 1
            entry.next_attempt = time.monotonic() + max(self._settings.retry_seconds, 0)
            again = entry.attempts <= self._settings.max_retries and entry.aspired
            if not again:
                entry.state = State.END
            self._moved(model)
        self._tell_metrics(model, entry, seconds, ok=False)
        logger.error(
            "%s: version %d failed to load: %s: %s (%s)",
            model,
            entry.number,
            error.code.name,
            error.message,
            f"attempt {entry.attempts + 1} in {self._settings.retry_seconds:g} s"
            if again
            else "given up",
        )

    def _unload(self, model: str, entry: Version) -> None:
        """Waits for the requests under way, then lets go of the model."""
        with self._lock:
            limit = self._settings.drain_seconds
            drained = self._lock.wait_for(lambda: entry.in_flight == 0, limit)
        if not drained:
            # They hold the model themselves: memory is free once the last one ends.
            logger.warning(
                "%s: version %d still answers %d requests after %g s: no longer waited for",
                model,
                entry.number,
                entry.in_flight,
                limit,
            )
        with self._releases:
            entry.model = None
            # A SavedModel's functions and its owner refer to each other.
            gc.collect()
            if entry in self._copies:
                self._mirror.discard(entry.location, self._copies.pop(entry))
        with self._lock:
            entry.state = State.END
            self._moved(model)
        logger.info("%s: version %d is unloaded", model, entry.number)

    def _tell_metrics(self, model: str, entry: Version, seconds: float, *, ok: bool) -> None:
        if self.metrics is not None:
            self.metrics.load(model, entry.number, seconds, ok, entry.location)


def _as_status(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return error
    return StatusError(grpc.StatusCode.UNKNOWN, one_line(str(error) or type(error).__name__))
