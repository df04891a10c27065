"""The images of a source as rows: how they are read, and how each finds its split."""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from components.artifacts import CURRENT, EVAL, PROVENANCE, SPLITS, TRAIN, Examples, SplitInfo
from components.errors import ConfigError
from components.ingest.documents import Era, rank
from components.ingest.image.inspection import Inspection, inspect
from components.ingest.image.options import IngestImageOptions
from components.ingest.image.pictures import Part, Picture

_REPORT_EVERY = 10_000
# Encoded images in memory at a time: so many, or so many bytes.
_BATCH_ROWS = 512
_BATCH_BYTES = 16 << 20

COLUMNS = {
    "example_id": "string",
    "document_id": "string",
    "image": "binary",
    "label": "string",
    "event_time": "timestamp[us, UTC]",
    "width": "int32",
    "height": "int32",
    "channels": "int32",
    "brightness": "double",
    "contrast": "double",
    "perceptual_hash": "int64",
    "problem": "string",
    PROVENANCE: "string",
}
# Of a row that was read: whether the source itself holds it out.
HELD_OUT = "held_out"

Row = dict[str, Any]


class Splitter:
    """Decides the split of an image, by its time and by the digest of its pixels."""

    def __init__(self, options: IngestImageOptions) -> None:
        """Reads the eras.

        Raises:
            ConfigError: a bound is no date, or the eras overlap.
        """
        self._reference = Era.parse("reference", options.reference_from, options.reference_to)
        self.current = Era.parse("current", options.current_from, options.current_to)
        self._percent = options.eval_percent
        self._by_source = options.split == "source"
        self._forced: dict[str, str] = {}
        if self.current.bounded and self._reference.overlaps(self.current):
            raise ConfigError(
                "expected a training era and a current era that do not overlap. Received: "
                f"{options.reference_from!r} to {options.reference_to!r} and "
                f"{options.current_from!r} to {options.current_to!r}"
            )

    def in_era(self, picture: Picture) -> bool:
        """Whether the picture lies in one of the eras."""
        return self._reference.holds(picture.event_time) or self._is_current(picture)

    def split(self, row: Row) -> str:
        """The split of an image that lies in an era."""
        if not self._reference.holds(row["event_time"]):
            return CURRENT
        if self._by_source:
            return EVAL if row[HELD_OUT] else TRAIN
        if row["example_id"] in self._forced:
            return self._forced[row["example_id"]]
        return EVAL if rank(row["example_id"]) % 100 < self._percent else TRAIN

    def force(self, forced: dict[str, str]) -> bool:
        """Takes images to other splits than their digests say; whether there are any."""
        self._forced = {} if self._by_source else forced
        return bool(self._forced)

    def _is_current(self, picture: Picture) -> bool:
        return self.current.bounded and self.current.holds(picture.event_time)


@dataclasses.dataclass
class Reader:
    """Reads the images of a source, or of a part of one.

    Attributes:
        options: the columns, and how large an image may be.
        splitter: knows the eras.
        bound: images whose id ranks higher are passed over; None for no bound.
        counts: `pictures`, all there were, and `in era` among them.
    """

    options: IngestImageOptions
    splitter: Splitter
    bound: int | None = None
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    def smallest(self, part: Part) -> list[int]:
        """The ranks of the images that may be taken, where not all are."""
        ranks = (rank(picture.document_id) for picture in self._in_era(part))
        return heapq.nsmallest(self.options.max_rows, ranks)

    def rows(self, part: Part) -> Iterator[Row]:
        """Streams images as rows with `held_out` beside the columns."""
        options = self.options
        for pictures, contents in _batches(self._chosen(part)):
            found = inspect(contents, options.max_pixels, options.longest_side)
            for picture, content, inspection in zip(pictures, contents, found, strict=True):
                data = b"" if isinstance(content, OSError) else content
                row = _row(picture, data, inspection)
                row[PROVENANCE] = picture.provenance or options.made_by or None
                yield row

    def _chosen(self, part: Part) -> Iterator[Picture]:
        self.counts.clear()
        for picture in self._in_era(part):
            if self.bound is None or rank(picture.document_id) <= self.bound:
                yield picture

    def _in_era(self, part: Part) -> Iterator[Picture]:
        options = self.options
        for picture in part.pictures(
            options.image_column,
            options.label_column,
            options.time_column,
            options.provenance_column,
        ):
            self.counts["pictures"] += 1
            if self.splitter.in_era(picture):
                self.counts["in era"] += 1
                yield picture


@dataclasses.dataclass
class Written:
    """What was written of a source, or of a part of it.

    Attributes:
        splits: by name.
        counts: `duplicates`, `decoded`, `undecoded`, and the decoded images of each split.
        labels: split -> class -> images.
        first_problem: the first image that was not decoded, and why.
        nearest: split or class -> the image of the training era that comes nearest to it.
    """

    splits: dict[str, SplitInfo] = dataclasses.field(default_factory=dict)
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    labels: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: {split: Counter() for split in SPLITS}
    )
    first_problem: str = ""
    nearest: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)

    def note(self, split: str, row: Row) -> None:
        """Takes in an image that was written."""
        if row["problem"]:
            self.counts["undecoded"] += 1
            self.first_problem = self.first_problem or f"{row['document_id']}: {row['problem']}"
            return
        label, example_id = row["label"], row["example_id"]
        self.counts["decoded"] += 1
        self.counts[split] += 1
        self.labels[split][label] += 1
        if split == CURRENT:
            return
        number = rank(example_id) % 100
        for key, distance in ((EVAL, number), (TRAIN, -number), (f"label {label}", -number)):
            self._consider(key, (distance, example_id))

    def _consider(self, key: str, candidate: tuple[int, str]) -> None:
        self.nearest[key] = min(self.nearest.get(key, candidate), candidate)

    def misplaced(self) -> dict[str, str]:
        """Images whose split must be another one than their digest says, by example_id."""
        unseen = set(self.labels[EVAL]) - set(self.labels[TRAIN])
        forced = {self.nearest[f"label {label}"][1]: TRAIN for label in unseen}
        if self.counts[TRAIN] + self.counts[EVAL] >= 2:
            for split in (EVAL, TRAIN):
                if not self.counts[split]:
                    forced[self.nearest[split][1]] = split
        return forced

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """What all parts, in the order of the source, have together."""
        from components.ingest.writing import joined

        whole = cls()
        for part in parts:
            whole.counts.update(part.counts)
            whole.first_problem = whole.first_problem or part.first_problem
            whole.splits = joined(whole.splits, part.splits)
            for split, labels in part.labels.items():
                whole.labels[split].update(labels)
            for key, candidate in part.nearest.items():
                whole._consider(key, candidate)
        return whole


def write(
    rows: Iterable[Row],
    came_before: Callable[[bytes], int],
    splitter: Splitter,
    examples: Examples,
    told: bool = True,
) -> Written:
    """Writes the shards of rows, each set of pixels once.

    Args:
        rows: as `Reader.rows` yields them.
        came_before: how often a digest, of the next row, was there before.
        splitter: decides the split of each image.
        examples: written to.
        told: whether progress is printed.
    """
    from components.ingest.writing import ShardWriter, schema

    written = Written()
    reported = 0
    with ShardWriter(examples, schema(COLUMNS)) as writer:
        for row in rows:
            if came_before(bytes.fromhex(row["example_id"])):
                written.counts["duplicates"] += 1
                continue
            split = splitter.split(row)
            written.note(split, row)
            del row[HELD_OUT]
            writer.write(split, row, len(row["image"]))
            decoded = written.counts["decoded"]
            if told and decoded >= reported + _REPORT_EVERY:
                reported = decoded
                print(f"progress: {decoded:,} images", flush=True)
    written.splits = writer.splits
    return written


def _batches(pictures: Iterator[Picture]) -> Iterator[tuple[list[Picture], list[bytes | OSError]]]:
    """Reads pictures, a bounded part of them in memory."""
    taken: list[Picture] = []
    contents: list[bytes | OSError] = []
    size = 0
    for picture in pictures:
        content = _read(picture)
        taken.append(picture)
        contents.append(content)
        size += 0 if isinstance(content, OSError) else len(content)
        if len(taken) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield taken, contents
            taken, contents, size = [], [], 0
    if taken:
        yield taken, contents


def _read(picture: Picture) -> bytes | OSError:
    try:
        return picture.read()
    except OSError as error:
        return error


def _row(picture: Picture, data: bytes, found: Inspection) -> dict[str, object]:
    return {
        "example_id": found.example_id,
        "document_id": picture.document_id,
        "image": data,
        "label": picture.label,
        "event_time": picture.event_time,
        "width": found.width,
        "height": found.height,
        "channels": found.channels,
        "brightness": found.brightness,
        "contrast": found.contrast,
        "perceptual_hash": found.perceptual_hash,
        "problem": found.problem or None,
        HELD_OUT: picture.held_out,
    }
