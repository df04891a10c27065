"""The serving log as a file: a line of JSON for each request and each piece of feedback."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.store.errors import StoreError
from serving.store.types import Feedback, RequestRecord

KINDS: dict[str, type[RequestRecord | Feedback]] = {"request": RequestRecord, "feedback": Feedback}


def line(record: RequestRecord | Feedback) -> str:
    """A record as a line, without its end."""
    name = "request" if isinstance(record, RequestRecord) else "feedback"
    content = dataclasses.asdict(record)
    content["created"] = record.created.astimezone(UTC).isoformat()
    return json.dumps({name: content}, ensure_ascii=False)


class LogFile:
    """A log that somebody may be writing to while it is read.

    Attributes:
        torn: whether the last line was cut off.
        unreadable: how many other lines were no records.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.torn = False
        self.unreadable = 0

    def records(self) -> Iterator[RequestRecord | Feedback]:
        """The records in the order of the file, one in memory at a time.

        A line that is no record is passed over and counted.

        Raises:
            StoreError: the file cannot be read.
        """
        self.torn, self.unreadable = False, 0
        try:
            with self._path.open("rb") as stream:
                for text in stream:
                    record = _parsed(text)
                    if record is not None:
                        yield record
                    elif not text.endswith(b"\n"):
                        self.torn = True
                    elif text.strip():
                        self.unreadable += 1
        except OSError as error:
            raise StoreError(
                f"expected a serving log at {self._path}. Received: {error.strerror}"
            ) from None


def _parsed(text: bytes) -> RequestRecord | Feedback | None:
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        ((name, content),) = json.loads(text).items()
        kind = KINDS[name]
        known = {field.name for field in dataclasses.fields(kind)}
        values: dict[str, Any] = {key: value for key, value in content.items() if key in known}
        created = datetime.fromisoformat(values["created"])
        values["created"] = created.replace(tzinfo=UTC) if created.tzinfo is None else created
        record = kind(**values)
        if isinstance(record, RequestRecord):
            float(record.latency_ms), int(record.num_tokens)
            record.inputs.items()
        return record
    return None
