"""A document, and how it becomes examples: paragraphs, and the splits by time and by digest."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator

from components.artifacts import CURRENT, EVAL, TRAIN
from components.errors import ConfigError
from components.ingest.options import IngestOptions


@dataclasses.dataclass(frozen=True)
class Document:
    """One document, read as it is consumed.

    Attributes:
        document_id: stable name, the same wherever the source lies.
        lines: the text, line by line.
        event_time: when it was written, in UTC, or None.
        provenance: who made it, as components/provenance.py says, or None.
    """

    document_id: str
    lines: Iterable[str]
    event_time: dt.datetime | None = None
    provenance: str | None = None


def paragraphs(lines: Iterable[str], min_characters: int) -> Iterator[str]:
    """Joins lines to paragraphs, which end at blank lines.

    Args:
        lines: with or without their ends.
        min_characters: a shorter paragraph is joined to the next one, and the last one to the
            one before.
    """
    finished = ""
    collected = ""
    for block in _blocks(lines):
        collected = f"{collected}\n\n{block}" if collected else block
        if len(collected) >= min_characters:
            if finished:
                yield finished
            finished, collected = collected, ""
    if collected:
        finished = f"{finished}\n\n{collected}" if finished else collected
    if finished:
        yield finished


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        line = line.rstrip()
        if line:
            block.append(line)
        elif block:
            yield "\n".join(block).strip()
            block = []
    if block:
        yield "\n".join(block).strip()


def parse_time(value: object) -> dt.datetime | None:
    """Reads a time: ISO 8601, a year, a date; without a zone it is UTC.

    Returns:
        The time in UTC, or None for an empty value.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or value == "":
        return None
    if isinstance(value, dt.datetime):
        time = value
    elif isinstance(value, dt.date):
        time = dt.datetime(value.year, value.month, value.day)
    elif type(value) is int or (isinstance(value, str) and _is_year(value)):
        time = dt.datetime(int(value), 1, 1)
    elif isinstance(value, str):
        time = dt.datetime.fromisoformat(value.strip())
    else:
        raise ValueError(f"not a time: {value!r}")
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def _is_year(value: str) -> bool:
    return len(value.strip()) == 4 and value.strip().isdecimal()


@dataclasses.dataclass(frozen=True)
class Era:
    """A span of time: from `start` until before `end`; None is no bound."""

    start: dt.datetime | None
    end: dt.datetime | None

    @classmethod
    def parse(cls, name: str, first: str, last: str) -> Era:
        """Reads the bounds `NAME_from` and `NAME_to`; the last year or day belongs to the era.

        Raises:
            ConfigError: a bound is no date, or they are in the wrong order.
        """
        start = _bound(f"ingest.{name}_from", first)
        end = _bound(f"ingest.{name}_to", last)
        if end is not None:
            end = _after(last.strip(), end)
        if start is not None and end is not None and start >= end:
            raise ConfigError(
                f"expected ingest.{name}_from before ingest.{name}_to. "
                f"Received: {first!r} and {last!r}"
            )
        return cls(start, end)

    @property
    def bounded(self) -> bool:
        """Whether it has a bound at all."""
        return self.start is not None or self.end is not None

    def holds(self, time: dt.datetime | None) -> bool:
        """Whether a time lies in the era; an unknown time lies in an unbounded one only."""
        if time is None:
            return not self.bounded
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)

    def overlaps(self, other: Era) -> bool:
        """Whether some moment lies in both."""

        def before(one: Era, two: Era) -> bool:
            return one.end is not None and two.start is not None and one.end <= two.start

        return not before(self, other) and not before(other, self)


def _bound(key: str, value: str) -> dt.datetime | None:
    try:
        return parse_time(value.strip())
    except ValueError:
        raise ConfigError(
            f"{key}: expected a year or an ISO 8601 date. Received: {value!r}"
        ) from None


def _after(text: str, time: dt.datetime) -> dt.datetime:
    """The moment after the year, the day or the instant that `text` names."""
    try:
        if _is_year(text):
            return time.replace(year=time.year + 1)
        return time + (dt.timedelta(days=1) if len(text) <= 10 else dt.timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return dt.datetime.max.replace(tzinfo=dt.UTC)


class Splitter:
    """Decides the split of a document, by its time and by the digest of its id."""

    def __init__(self, options: IngestOptions) -> None:
        """Reads the eras.

        Raises:
            ConfigError: a bound is no date, or the eras overlap.
        """
        self.reference = Era.parse("reference", options.reference_from, options.reference_to)
        self.current = Era.parse("current", options.current_from, options.current_to)
        self._percent = options.eval_percent
        # Set where the digest would leave a split without any document.
        self.forced: dict[str, str] = {}
        if self.current.bounded and self.reference.overlaps(self.current):
            raise ConfigError(
                "expected a training era and a current era that do not overlap. Received: "
                f"{options.reference_from!r} to {options.reference_to!r} and "
                f"{options.current_from!r} to {options.current_to!r}"
            )

    def split(self, document_id: str, event_time: dt.datetime | None) -> str | None:
        """The split of a document, or None where it lies in no era."""
        if self.reference.holds(event_time):
            if document_id in self.forced:
                return self.forced[document_id]
            held_out = rank(document_id) % 100 < self._percent
            return EVAL if held_out else TRAIN
        if self.current.bounded and self.current.holds(event_time):
            return CURRENT
        return None

    def force(self, forced: dict[str, str]) -> bool:
        """Takes documents to splits that the digests left empty; whether there are any."""
        self.forced = forced
        return bool(forced)


def rank(document_id: str) -> int:
    """A number that depends on the id alone and is spread evenly."""
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "big")
