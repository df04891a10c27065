"""Writes a record of every request to the store, from a bounded queue in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from serving.gateway.database import Database
from serving.gateway.limits import Usage
from serving.gateway.metrics import GatewayMetrics
from serving.store import RequestRecord, StoreError

_log = logging.getLogger(__name__)
_BATCH = 200
_FIRST_RETRY = 0.2
_LAST_RETRY = 5.0
_LOG_SECONDS = 10.0


class Recorder:
    """A queue of records and the thread that empties it.

    While the database is down, records wait and are tried again. What does not fit the queue is
    dropped, counted and logged. Requests never wait for it.

    Args:
        database: where they go.
        usage: counts of keys, written along.
        metrics: told of queue, drops and the database's state.
        max_records: that wait.
        max_bytes: of the records that wait.
        linger: seconds that a record waits for others.
    """

    def __init__(
        self,
        database: Database,
        usage: Usage,
        metrics: GatewayMetrics,
        *,
        max_records: int,
        max_bytes: int,
        linger: float,
    ) -> None:
        self._database = database
        self._usage = usage
        self._metrics = metrics
        self._max_records, self._max_bytes, self._linger = max_records, max_bytes, linger
        self._changed = threading.Condition()
        self._queue: deque[tuple[RequestRecord, int]] = deque()
        self._bytes = 0
        self._added = self._done = self._failures = 0
        self._wanted = 0  # `flush` waits for records up to this one
        self._singly = 0  # so many of the first records are written one at a time
        self._dropped, self._logged = 0, -_LOG_SECONDS
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def add(self, record: RequestRecord, size: int) -> None:
        """Queues a record; never waits.

        Args:
            record: of a request that has ended.
            size: about how many bytes it holds.
        """
        with self._changed:
            if len(self._queue) >= self._max_records or self._bytes + size > self._max_bytes:
                self._drop("full", 1)
                return
            self._queue.append((record, size))
            self._bytes += size
            self._added += 1
            if len(self._queue) == 1:
                self._changed.notify_all()
        self._metrics.queue.set(len(self._queue))

    def flush(self, timeout: float) -> bool:
        """Waits until all that is queued now is in the store.

        Args:
            timeout: seconds.

        Returns:
            False if it is not: an attempt failed, or the time is over.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            target, failures = self._added, self._failures
            self._wanted = max(self._wanted, target)
            self._changed.notify_all()
            while self._done < target:
                left = deadline - time.monotonic()
                if left <= 0 or self._failures != failures:
                    return False
                self._changed.wait(left)
        return True

    def stop(self, timeout: float) -> int:
        """Writes what is queued and ends the thread.

        Args:
            timeout: seconds to wait for the database.

        Returns:
            The number of records that could not be written.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            left = len(self._queue)
            if left:
                self._drop("shutdown", left)
        return left

    def _drop(self, reason: str, count: int) -> None:
        """Counts dropped records, and logs them now and then."""
        self._metrics.dropped.labels(reason).inc(count)
        self._dropped += count
        now = time.monotonic()
        if now - self._logged >= _LOG_SECONDS or reason == "shutdown":
            _log.error("dropped %d records of requests (%s)", self._dropped, reason)
            self._dropped, self._logged = 0, now

    def _run(self) -> None:
        pause = _FIRST_RETRY
        while True:
            batch = self._next()
            if batch is None:
                return
            if self._write(batch):
                pause = _FIRST_RETRY
                continue
            with self._changed:
                if self._stopping:
                    return
                wanted = self._wanted
                deadline = time.monotonic() + pause
                # Somebody's feedback is worth an attempt before its time.
                while (
                    (left := deadline - time.monotonic()) > 0
                    and not self._stopping
                    and self._wanted == wanted
                ):
                    self._changed.wait(left)
            pause = min(pause * 2, _LAST_RETRY)

    def _next(self) -> list[RequestRecord] | None:
        """Waits for records; the first ones of the queue, which stay in it. None at the end."""
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            if not self._queue:
                return None
            deadline = time.monotonic() + self._linger
            while (
                len(self._queue) < _BATCH
                and self._wanted <= self._done
                and not self._stopping
                and (left := deadline - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            size = 1 if self._singly else _BATCH
            return [record for record, _ in list(self._queue)[:size]]

    def _write(self, batch: Sequence[RequestRecord]) -> bool:
        """Writes records and counts; whether the database is there."""
        try:
            store = self._database.store()
            store.requests.add(batch)
            self._finish(len(batch))
            self._write_usage()
        except Exception as error:  # a thread that ends would lose all later records
            if not self._failed(batch, error):
                return False
        self._metrics.store_up.set(1)
        return True

    def _finish(self, count: int, written: bool = True) -> None:
        with self._changed:
            for _ in range(count):
                _, size = self._queue.popleft()
                self._bytes -= size
            self._done += count
            self._singly = max(self._singly - count, 0)
            left = len(self._queue)
            self._changed.notify_all()
        self._metrics.queue.set(left)
        if written:
            self._metrics.written.inc(count)

    def _failed(self, batch: Sequence[RequestRecord], error: Exception) -> bool:
        """Takes note of a failure; whether the database is there and refuses a record."""
        what = " ".join(str(error).split())
        if not _refuses(error):
            self._metrics.store_up.set(0)
            _log.warning("could not write %d records, which wait: %s", len(batch), what)
            with self._changed:
                self._failures += 1
                self._changed.notify_all()
            return False
        if len(batch) > 1:
            # Which one?
            self._singly = len(batch)
            return True
        _log.error("gave up the record of request %s: %s", batch[0].id, what)
        with self._changed:
            self._drop("refused", 1)
        self._finish(1, written=False)
        return True

    def _write_usage(self) -> None:
        with self._usage.lock:
            store = self._database.store()
            counts = list(self._usage.drain().items())
            for index, ((key_id, day), (requests, tokens)) in enumerate(counts):
                try:
                    store.usage.add(key_id, day, requests, tokens)
                except StoreError as error:
                    for (key, date), (more_requests, more_tokens) in counts[index:]:
                        self._usage.restore(key, date, more_requests, more_tokens)
                    _log.warning("could not write the usage of keys: %s", error)
                    return
                self._usage.written(key_id, day, tokens)


def _refuses(error: Exception) -> bool:
    """Whether a record itself is at fault, so that another attempt would end the same."""
    if not isinstance(error, StoreError):
        return True
    cause = error.__cause__
    if isinstance(cause, DBAPIError):
        return isinstance(cause, DataError | IntegrityError)
    # A value that could not even be sent; everything else is between here and the database.
    return isinstance(cause, StatementError)
