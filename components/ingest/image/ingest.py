"""The ingest step of images: pictures of a source to examples, split by time and by digest."""

from __future__ import annotations

import heapq
import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from components.artifacts import (
    CURRENT,
    EVAL,
    IMAGE,
    PROVENANCE,
    SPLITS,
    TRAIN,
    Examples,
    ExamplesManifest,
)
from components.errors import ConfigError, DataError
from components.ingest.documents import Era, rank
from components.ingest.image.inspection import Inspection, inspect
from components.ingest.image.options import IngestImageOptions
from components.ingest.image.pictures import Picture, Source
from components.ingest.image.sources import open_source, snapshot_digest

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


def run(options: IngestImageOptions, examples: Path) -> ExamplesManifest:
    """Reads a source and writes its images as examples, each set of pixels once.

    An image that cannot be decoded, or is too large to be, is written with 0 channels and the
    reason in `problem`, so that the validate step sets it aside where people look for it. The
    manifest is written last: a folder without one is not complete.

    Args:
        options: the source, the columns, the eras, the share that is held out.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source or an era makes no sense.
        DataError: a file cannot be read, no image can be decoded, all are of one class, or a
            split would be empty.
    """
    source = open_source(options.source)
    splitter = _Splitter(options)
    digest = snapshot_digest(options.source)
    ingestion = _Ingestion(options, source, splitter, Examples(examples))
    ingestion.write()
    forced = ingestion.forced()
    if forced:
        # The digest left a split without an image, or training without one of a class.
        splitter.forced = forced
        ingestion = _Ingestion(options, source, splitter, Examples(examples))
        ingestion.write()
    return ingestion.finish(digest)


class _Splitter:
    """Decides the split of an image, by its time and by the digest of its pixels."""

    def __init__(self, options: IngestImageOptions) -> None:
        self._reference = Era.parse("reference", options.reference_from, options.reference_to)
        self.current = Era.parse("current", options.current_from, options.current_to)
        self._percent = options.eval_percent
        self._by_source = options.split == "source"
        self.forced: dict[str, str] = {}
        if self.current.bounded and self._reference.overlaps(self.current):
            raise ConfigError(
                "expected a training era and a current era that do not overlap. Received: "
                f"{options.reference_from!r} to {options.reference_to!r} and "
                f"{options.current_from!r} to {options.current_to!r}"
            )

    def in_era(self, picture: Picture) -> bool:
        """Whether the picture lies in one of the eras."""
        return self._reference.holds(picture.event_time) or self._is_current(picture)

    def split(self, picture: Picture, example_id: str) -> str:
        """The split of a picture that lies in an era."""
        if not self._reference.holds(picture.event_time):
            return CURRENT
        if self._by_source:
            return EVAL if picture.held_out else TRAIN
        if example_id in self.forced:
            return self.forced[example_id]
        return EVAL if rank(example_id) % 100 < self._percent else TRAIN

    def _is_current(self, picture: Picture) -> bool:
        return self.current.bounded and self.current.holds(picture.event_time)


class _Ingestion:
    """One pass over a source."""

    def __init__(
        self,
        options: IngestImageOptions,
        source: Source,
        splitter: _Splitter,
        examples: Examples,
    ) -> None:
        self._options, self._source = options, source
        self._splitter, self._examples = splitter, examples
        self._counts: Counter[str] = Counter()
        self._labels: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self._first_problem = ""
        # Split or class -> the image of the training era that comes nearest to it.
        self._nearest: dict[str, tuple[int, str]] = {}

    def write(self) -> None:
        """Writes the shards."""
        from components.ingest.writing import Occurrences, ShardWriter, schema

        self._examples.manifest_path.unlink(missing_ok=True)
        for split in SPLITS:
            shutil.rmtree(self._examples.path / split, ignore_errors=True)
        self._examples.path.mkdir(parents=True, exist_ok=True)
        reported = 0
        with Occurrences() as seen, ShardWriter(self._examples, schema(COLUMNS)) as writer:
            for picture, data, found in self._inspected():
                if seen.add(bytes.fromhex(found.example_id)):
                    self._counts["duplicates"] += 1
                    continue
                split = self._splitter.split(picture, found.example_id)
                self._note(split, picture, found)
                row = _row(picture, data, found)
                row[PROVENANCE] = picture.provenance or self._options.made_by or None
                writer.write(split, row, len(data))
                written = self._counts["decoded"]
                if written >= reported + _REPORT_EVERY:
                    reported = written
                    print(f"progress: {written:,} images", flush=True)
        self._splits = writer.splits

    def _inspected(self) -> Iterator[tuple[Picture, bytes, Inspection]]:
        options = self._options
        for pictures, contents in _batches(self._chosen()):
            found = inspect(contents, options.max_pixels, options.longest_side)
            for picture, content, inspection in zip(pictures, contents, found, strict=True):
                yield picture, b"" if isinstance(content, OSError) else content, inspection

    def _pictures(self) -> Iterator[Picture]:
        options = self._options
        self._counts["pictures"] = self._counts["in era"] = 0
        for picture in self._source.pictures(
            options.image_column,
            options.label_column,
            options.time_column,
            options.provenance_column,
        ):
            self._counts["pictures"] += 1
            if self._splitter.in_era(picture):
                self._counts["in era"] += 1
                yield picture

    def _chosen(self) -> Iterator[Picture]:
        """The pictures of the eras; where they are too many, those with the smallest digests."""
        most = self._options.max_rows
        if not most:
            yield from self._pictures()
            return
        smallest = heapq.nsmallest(most, (rank(each.document_id) for each in self._pictures()))
        bound = smallest[-1] if smallest else 0
        taken = (each for each in self._pictures() if rank(each.document_id) <= bound)
        yield from itertools.islice(taken, most)

    def _note(self, split: str, picture: Picture, found: Inspection) -> None:
        if found.problem:
            self._counts["undecoded"] += 1
            self._first_problem = self._first_problem or f"{picture.document_id}: {found.problem}"
            return
        self._counts["decoded"] += 1
        self._counts[split] += 1
        self._labels[split][picture.label] += 1
        if split == CURRENT:
            return
        number = rank(found.example_id) % 100
        named = f"label {picture.label}"
        for key, distance in ((EVAL, number), (TRAIN, -number), (named, -number)):
            candidate = (distance, found.example_id)
            self._nearest[key] = min(self._nearest.get(key, candidate), candidate)

    def forced(self) -> dict[str, str]:
        """Images whose split must be another one than their digest says, by example_id."""
        if self._options.split == "source" or self._splitter.forced:
            return {}
        unseen = set(self._labels[EVAL]) - set(self._labels[TRAIN])
        forced = {self._nearest[f"label {label}"][1]: TRAIN for label in unseen}
        if self._counts[TRAIN] + self._counts[EVAL] >= 2:
            for split in (EVAL, TRAIN):
                if not self._counts[split]:
                    forced[self._nearest[split][1]] = split
        return forced

    def finish(self, digest: str) -> ExamplesManifest:
        """Checks that there is something in each split, and writes the manifest."""
        self._refuse_empty()
        labels = sorted(self._labels[TRAIN])
        self._refuse_classes(labels)
        manifest = ExamplesManifest(
            source=self._options.source,
            snapshot_digest=digest,
            splits=self._splits,
            columns=COLUMNS,
            duplicates=self._counts["duplicates"],
            modality=IMAGE,
            details={"labels": labels},
        )
        self._examples.write_manifest(manifest)
        rows = ", ".join(f"{name} {info.rows:,}" for name, info in self._splits.items())
        undecoded = self._counts["undecoded"]
        broken = f"; {undecoded:,} could not be decoded" if undecoded else ""
        print(
            f"progress: {rows}; {len(labels):,} classes; "
            f"{self._counts['duplicates']:,} duplicates dropped{broken}",
            flush=True,
        )
        return manifest

    def _refuse_empty(self) -> None:
        options, counts = self._options, self._counts
        source = options.source
        if not counts["pictures"]:
            raise DataError(f"expected images in {source!r}. Received: none")
        if not counts["in era"]:
            raise DataError(
                f"expected images in the training era {options.reference_from or '...'} to "
                f"{options.reference_to or '...'}. Received: none of {counts['pictures']:,} in "
                f"{source!r}"
            )
        if not counts["decoded"]:
            raise DataError(
                f"expected PNG or JPEG images in {source!r}. Received: {counts['undecoded']:,} "
                f"files, none of which is decoded; {self._first_problem}"
            )
        if self._splitter.current.bounded and not counts[CURRENT]:
            raise DataError(
                f"expected images in the current era {options.current_from or '...'} to "
                f"{options.current_to or '...'}. Received: none of {counts['pictures']:,} in "
                f"{source!r}"
            )
        for split in (TRAIN, EVAL):
            if not counts[split]:
                raise DataError(
                    f"expected images for both train and eval. Received: "
                    f"{counts[TRAIN] + counts[EVAL]:,} of the training era in {source!r}, none of "
                    f"them for {split}; give two or more images that differ"
                    + ("; or set ingest.split to digest" if options.split == "source" else "")
                )

    def _refuse_classes(self, labels: list[str]) -> None:
        """Refuses what no family conditional on classes can learn from."""
        if labels == [""]:
            return
        column = f"the column {self._options.label_column!r}"
        if "" in labels:
            raise DataError(
                f"expected a class for every image in {column} of {self._options.source!r}. "
                f"Received: {self._labels[TRAIN]['']:,} training images without one; name their "
                "classes, or set ingest.label_column to '' for images without classes"
            )
        if len(labels) == 1:
            raise DataError(
                f"expected images of at least two classes in {self._options.source!r}. Received: "
                f"one, {labels[0]!r}, in all {self._labels[TRAIN][labels[0]]:,} training images; "
                "add a class, or set ingest.label_column to '' for images without classes"
            )


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
    }
