"""The ingest step: documents of a source to examples, split by time and by digest."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from components.artifacts import (
    CURRENT,
    EVAL,
    PROVENANCE,
    SPLITS,
    TRAIN,
    Examples,
    ExamplesManifest,
)
from components.errors import DataError
from components.ingest.documents import Document, Splitter, paragraphs, rank
from components.ingest.options import IngestOptions
from components.ingest.sources import Source, open_source, snapshot_digest

_REPORT_EVERY = 20_000

COLUMNS = {
    "example_id": "string",
    "document_id": "string",
    "position": "int32",
    "text": "string",
    "event_time": "timestamp[us, UTC]",
    PROVENANCE: "string",
}


def run(options: IngestOptions, examples: Path) -> ExamplesManifest:
    """Reads a source and writes its paragraphs as examples.

    The manifest is written last: a folder without one is not complete.

    Args:
        options: the source, the columns, the eras, the share that is held out.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source or an era makes no sense.
        DataError: a file cannot be read, or a split would be empty.
    """
    source = open_source(options.source)
    splitter = Splitter(options)
    digest = snapshot_digest(options.source)
    ingestion = _Ingestion(options, source, splitter, Examples(examples))
    ingestion.write()
    missing = ingestion.empty_split()
    if missing:
        # The digest left a small source without a split: its nearest document goes there.
        splitter.forced = {ingestion.nearest[missing][1]: missing}
        ingestion = _Ingestion(options, source, splitter, Examples(examples))
        ingestion.write()
    return ingestion.finish(digest)


class _Ingestion:
    """One pass over a source."""

    def __init__(
        self, options: IngestOptions, source: Source, splitter: Splitter, examples: Examples
    ) -> None:
        self._options = options
        self._source = source
        self._splitter = splitter
        self._examples = examples
        self._documents: Counter[str | None] = Counter()
        self._duplicates = 0
        # Split -> (distance, id) of the training era's document that comes nearest to it.
        self.nearest: dict[str, tuple[int, str]] = {}

    def write(self) -> None:
        """Writes the shards."""
        from components.ingest.writing import Occurrences, ShardWriter, schema

        self._examples.manifest_path.unlink(missing_ok=True)
        for split in SPLITS:
            shutil.rmtree(self._examples.path / split, ignore_errors=True)
        self._examples.path.mkdir(parents=True, exist_ok=True)
        rows = 0
        self._with_text = 0
        with Occurrences() as seen, ShardWriter(self._examples, schema(COLUMNS)) as writer:
            for split, document in self._chosen():
                before = rows
                texts = paragraphs(document.lines, self._options.min_characters)
                for position, text in enumerate(texts):
                    digest = hashlib.sha256(text.encode()).digest()[:16]
                    if seen.add(digest):
                        self._duplicates += 1
                        continue
                    row = _row(digest.hex(), document, position, text)
                    row[PROVENANCE] = document.provenance or self._options.made_by or None
                    writer.write(split, row, len(text.encode()))
                    rows += 1
                    if rows % _REPORT_EVERY == 0:
                        print(f"progress: {rows:,} examples", flush=True)
                if split != CURRENT and rows > before:
                    self._remember(document.document_id)
        self._splits = writer.splits

    def _chosen(self) -> Iterator[tuple[str, Document]]:
        for document in self._source.documents(
            self._options.text_column, self._options.time_column, self._options.provenance_column
        ):
            split = self._splitter.split(document)
            self._documents[split] += 1
            if split is not None:
                yield split, document

    def _remember(self, document_id: str) -> None:
        """Notes a document of the training era that has text of its own."""
        self._with_text += 1
        number = rank(document_id) % 100
        for split, distance in ((EVAL, number), (TRAIN, -number)):
            candidate = (distance, document_id)
            self.nearest[split] = min(self.nearest.get(split, candidate), candidate)

    def empty_split(self) -> str | None:
        """The one of `train` and `eval` that has no row, where there are documents enough."""
        if self._with_text < 2:
            return None
        return next((split for split in (EVAL, TRAIN) if not self._splits[split].rows), None)

    def finish(self, digest: str) -> ExamplesManifest:
        """Checks that there is something in each split, and writes the manifest."""
        self._refuse_empty()
        manifest = ExamplesManifest(
            source=self._options.source,
            snapshot_digest=digest,
            splits=self._splits,
            columns=COLUMNS,
            duplicates=self._duplicates,
        )
        self._examples.write_manifest(manifest)
        rows = ", ".join(f"{name} {info.rows:,}" for name, info in self._splits.items())
        print(f"progress: {rows}; {self._duplicates:,} duplicates dropped", flush=True)
        return manifest

    def _refuse_empty(self) -> None:
        source = self._options.source
        total = sum(self._documents.values())
        if total == 0:
            raise DataError(f"expected documents in {source!r}. Received: none")
        reference = self._documents[TRAIN] + self._documents[EVAL]
        if reference == 0:
            raise DataError(
                f"expected documents in the training era {self._options.reference_from or '...'} "
                f"to {self._options.reference_to or '...'}. Received: none of {total} in {source!r}"
            )
        if self._splitter.current.bounded and not self._documents[CURRENT]:
            raise DataError(
                f"expected documents in the current era {self._options.current_from or '...'} "
                f"to {self._options.current_to or '...'}. Received: none of {total} in {source!r}"
            )
        if not any(info.rows for info in self._splits.values()):
            raise DataError(f"expected text in {source!r}. Received: {total} documents without any")
        for split in (TRAIN, EVAL):
            if not self._splits[split].rows:
                raise DataError(
                    f"expected text for both train and eval. Received: {reference} documents of "
                    f"the training era in {source!r}, none of them with text for {split}; give "
                    "two or more documents that differ"
                )


def _row(example_id: str, document: Document, position: int, text: str) -> dict[str, object]:
    return {
        "example_id": example_id,
        "document_id": document.document_id,
        "position": position,
        "text": text,
        "event_time": document.event_time,
    }
