"""The paragraphs of documents as rows: how they are read, and how each finds its split."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from components.artifacts import CURRENT, EVAL, PROVENANCE, TRAIN, Examples, SplitInfo
from components.ingest.documents import Document, Splitter, paragraphs, rank
from components.ingest.options import IngestOptions
from components.ingest.sources import Part

_REPORT_EVERY = 20_000

COLUMNS = {
    "example_id": "string",
    "document_id": "string",
    "position": "int32",
    "text": "string",
    "event_time": "timestamp[us, UTC]",
    PROVENANCE: "string",
}

Row = dict[str, Any]


def read(
    part: Part, options: IngestOptions, splitter: Splitter, documents: Counter[str | None]
) -> Iterator[Row]:
    """Streams the paragraphs of the documents that lie in an era.

    Args:
        part: a source, or a part of one.
        options: the columns, and how short a paragraph may be.
        splitter: knows the eras.
        documents: counts all documents by split, None for those in no era.
    """
    for document in part.documents(
        options.text_column, options.time_column, options.provenance_column
    ):
        split = splitter.split(document.document_id, document.event_time)
        documents[split] += 1
        if split is None:
            continue
        for position, text in enumerate(paragraphs(document.lines, options.min_characters)):
            row = _row(document, position, text)
            row[PROVENANCE] = document.provenance or options.made_by or None
            yield row


def _row(document: Document, position: int, text: str) -> Row:
    return {
        "example_id": hashlib.sha256(text.encode()).hexdigest()[:32],
        "document_id": document.document_id,
        "position": position,
        "text": text,
        "event_time": document.event_time,
    }


@dataclasses.dataclass
class Written:
    """What was written of a source, or of a part of it.

    Attributes:
        splits: by name.
        duplicates: rows left out, for their text was there before.
        with_text: documents of the training era that have text of their own.
        nearest: split -> (distance, id) of the one of them that comes nearest to it.
    """

    splits: dict[str, SplitInfo] = dataclasses.field(default_factory=dict)
    duplicates: int = 0
    with_text: int = 0
    nearest: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)

    def remember(self, document_id: str) -> None:
        """Notes a document of the training era that has text of its own."""
        self.with_text += 1
        number = rank(document_id) % 100
        for split, distance in ((EVAL, number), (TRAIN, -number)):
            self._consider(split, (distance, document_id))

    def _consider(self, split: str, candidate: tuple[int, str]) -> None:
        self.nearest[split] = min(self.nearest.get(split, candidate), candidate)

    def nearest_missing(self) -> dict[str, str]:
        """The document for the one of `train` and `eval` that has no row, if there are enough."""
        if self.with_text < 2:
            return {}
        missing = next((split for split in (EVAL, TRAIN) if not self.splits[split].rows), None)
        return {self.nearest[missing][1]: missing} if missing else {}

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """What all parts have together."""
        from components.ingest.writing import joined

        whole = cls()
        for part in parts:
            whole.duplicates += part.duplicates
            whole.with_text += part.with_text
            whole.splits = joined(whole.splits, part.splits)
            for split, candidate in part.nearest.items():
                whole._consider(split, candidate)
        return whole


def write(
    rows: Iterable[Row],
    came_before: Callable[[bytes], int],
    splitter: Splitter,
    examples: Examples,
    told: bool = True,
) -> Written:
    """Writes the shards of rows, each text once.

    Args:
        rows: as `read` yields them.
        came_before: how often a digest, of the next row, was there before.
        splitter: decides the split of each document.
        examples: written to.
        told: whether progress is printed.
    """
    from components.ingest.writing import ShardWriter, schema

    written = Written()
    count = 0
    with ShardWriter(examples, schema(COLUMNS)) as writer:
        for document_id, of_one in itertools.groupby(rows, lambda row: str(row["document_id"])):
            before = count
            split = None
            for row in of_one:
                split = split or splitter.split(document_id, row["event_time"])
                assert split is not None
                if came_before(bytes.fromhex(row["example_id"])):
                    written.duplicates += 1
                    continue
                writer.write(split, row, len(row["text"].encode()))
                count += 1
                if told and count % _REPORT_EVERY == 0:
                    print(f"progress: {count:,} examples", flush=True)
            if split != CURRENT and count > before:
                written.remember(document_id)
    written.splits = writer.splits
    return written
