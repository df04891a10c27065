"""The store as the gateway uses it: opened when it can be, and never waited for without a limit."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.gateway.errors import ApiError
from serving.store import Redaction, Store, StoreError, open_store

_log = logging.getLogger(__name__)
_THREADS = 4
_REOPEN_SECONDS = 1.0

Result = TypeVar("Result")


class Database:
    """Opens the store, again after a failure, and runs calls of it in a few threads.

    Args:
        url: of the store.
        redaction: what may be kept.
        wait_seconds: that a caller of `run` waits.
    """

    def __init__(self, url: str, redaction: Redaction, wait_seconds: float) -> None:
        self._url = url
        self._redaction = redaction
        self._wait = wait_seconds
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._failed: tuple[float, StoreError] | None = None
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")

    def store(self) -> Store:
        """The open store; opens it if it is not.

        Raises:
            StoreError: the database cannot be reached.
        """
        store = self._store
        if store is not None:
            return store
        with self._lock:
            if self._store is None:
                # Attempts take seconds: callers that queue here share one.
                if self._failed and time.monotonic() - self._failed[0] < _REOPEN_SECONDS:
                    raise self._failed[1]
                try:
                    self._store = open_store(self._url, redaction=self._redaction)
                except StoreError as error:
                    self._failed = (time.monotonic(), error)
                    raise
            return self._store

    async def run(self, call: Callable[[Store], Result]) -> Result:
        """Runs a call of the store in a thread.

        Raises:
            ApiError: the database is down (UNAVAILABLE).
            StoreError: a subclass that says more, such as UnknownRequestError.
        """
        pending = asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(self.store()))
        try:
            return await asyncio.wait_for(pending, self._wait)
        except TimeoutError:
            _log.warning("the database did not answer within %g s", self._wait)
        except StoreError as error:
            if type(error) is not StoreError:
                raise
            _log.warning("the database failed: %s", error)
        raise ApiError(
            "UNAVAILABLE", "the database is down; try again", headers={"Retry-After": "1"}
        )

    def close(self) -> None:
        """Closes the store; calls that hang are left behind."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()
