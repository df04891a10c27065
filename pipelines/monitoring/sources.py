"""Where the serving log is read from: the gateway's store, or a file."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from serving.store import Feedback, RequestRecord, Store
from serving.store.log_file import LogFile


class LogSource(Protocol):
    """A serving log of one model; nothing of it is held in memory."""

    def requests(self, since: datetime, until: datetime) -> Iterator[RequestRecord]:
        """The requests of a span of time."""

    def first(self, version: int, until: datetime, most: int) -> Iterator[RequestRecord]:
        """The first requests that a version answered, before a time."""

    def feedback(self, since: datetime, until: datetime) -> Iterator[Feedback]:
        """What people said in a span of time."""

    def inputs(self, names: Collection[str]) -> dict[str, RequestRecord]:
        """Requests by their ids; those that are not there are left out."""

    def notes(self, until: datetime) -> list[str]:
        """What there is to say about the log itself, after it was read."""


class StoreSource:
    """The log in the gateway's store."""

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._model = store, model

    def requests(self, since: datetime, until: datetime) -> Iterator[RequestRecord]:
        """See `LogSource`."""
        return self._store.requests.between(self._model, since, until)

    def first(self, version: int, until: datetime, most: int) -> Iterator[RequestRecord]:
        """See `LogSource`."""
        found = self._store.requests.between(self._model, None, until, version=version)
        return itertools.islice(found, most)

    def feedback(self, since: datetime, until: datetime) -> Iterator[Feedback]:
        """See `LogSource`."""
        return self._store.feedback.between(self._model, since, until)

    def inputs(self, names: Collection[str]) -> dict[str, RequestRecord]:
        """See `LogSource`."""
        found = ((name, self._store.requests.get(name)) for name in names)
        return {name: record for name, record in found if record is not None}

    def notes(self, until: datetime) -> list[str]:
        """See `LogSource`."""
        return _of_future(self._store.requests.count_from(self._model, until), until)


class FileSource:
    """A log that `loomline requests export` or a program of one's own wrote."""

    def __init__(self, path: Path, model: str) -> None:
        self._log, self._model = LogFile(path), model

    def requests(self, since: datetime, until: datetime) -> Iterator[RequestRecord]:
        """See `LogSource`."""
        return (one for one in self._all() if since <= one.created < until)

    def first(self, version: int, until: datetime, most: int) -> Iterator[RequestRecord]:
        """See `LogSource`."""
        earlier = (one for one in self._all() if one.version == version and one.created < until)
        yield from heapq.nsmallest(most, earlier, key=lambda one: (one.created, one.id))

    def feedback(self, since: datetime, until: datetime) -> Iterator[Feedback]:
        """See `LogSource`; feedback in a file is on the file's model."""
        for record in self._log.records():
            if isinstance(record, Feedback) and since <= record.created < until:
                yield record

    def inputs(self, names: Collection[str]) -> dict[str, RequestRecord]:
        """See `LogSource`."""
        wanted = set(names)
        return {one.id: one for one in self._all() if one.id in wanted} if wanted else {}

    def notes(self, until: datetime) -> list[str]:
        """See `LogSource`."""
        ahead = sum(one.created >= until for one in self._all())
        lines = _of_future(ahead, until)
        if self._log.torn:
            lines.append("the last line of the log was cut off; it was set aside.")
        if self._log.unreadable:
            lines.append(f"{self._log.unreadable} lines of the log are no records; set aside.")
        return lines

    def _all(self) -> Iterator[RequestRecord]:
        for record in self._log.records():
            if isinstance(record, RequestRecord) and record.model == self._model:
                yield record


def _of_future(count: int, until: datetime) -> list[str]:
    if not count:
        return []
    return [
        f"{count} requests are of {until:%Y-%m-%d %H:%M:%S} UTC or later, which is after the "
        "window; they were left for a later one."
    ]
