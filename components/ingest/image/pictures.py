"""An image as a source yields it, before anything is decoded."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from components.ingest import parts

# The largest file that is read. What is bigger cannot hold a sensible number of pixels.
MOST_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image of a source.

    Attributes:
        document_id: stable name, the same wherever the source lies.
        read: returns the encoded image; an OSError says that it cannot be read.
        label: its class, empty where it has none.
        event_time: when it was made, in UTC, or None.
        held_out: whether the source itself sets it aside for testing.
        provenance: who made it, as components/provenance.py says, or None.
    """

    document_id: str
    read: Callable[[], bytes]
    label: str
    event_time: dt.datetime | None = None
    held_out: bool = False
    provenance: str | None = None


class Part(Protocol):
    """Images that one worker reads."""

    def files(self) -> dict[str, Path]:
        """The files behind the source by stable name, in a fixed order.

        Raises:
            DataError: there are none.
        """

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        """Streams the images in a fixed order; can be called anew.

        Raises:
            DataError: the source cannot be read.
        """


class Source(Part, Protocol):
    """A collection of images."""

    def parts(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Sequence[Part]:
        """Cuts it up; the images of the parts, one after the other, are its own.

        Raises:
            DataError: the source cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class Slice:
    """Images that are listed quickly, and of these the ones at some places."""

    whole: Part
    start: int
    end: int

    def files(self) -> dict[str, Path]:
        return self.whole.files()

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        columns = (image_column, label_column, time_column, provenance_column)
        return itertools.islice(self.whole.pictures(*columns), self.start, self.end)


def slices(whole: Part, *columns: str) -> list[Slice]:
    """Cuts up what is listed quickly."""
    count = sum(1 for _ in whole.pictures(*columns))
    starts = range(0, count, parts.PART_FILES)
    return [Slice(whole, start, min(start + parts.PART_FILES, count)) for start in starts]


def read_file(path: Path) -> bytes:
    """Reads an image file, and no more of it than `MOST_BYTES` and one byte."""
    with path.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)
