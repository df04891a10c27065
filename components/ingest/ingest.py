"""The ingest step: documents of a source to examples, split by time and by digest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from components.artifacts import CURRENT, EVAL, TRAIN, Examples, ExamplesManifest
from components.errors import DataError
from components.ingest.documents import Splitter
from components.ingest.options import IngestOptions
from components.ingest.passages import COLUMNS, Written, read, write
from components.ingest.sources import open_source, snapshot_digest


def run(options: IngestOptions, examples: Path) -> ExamplesManifest:
    """Reads a source and writes its paragraphs as examples.

    The manifest is written last: a folder without one is not complete. Whatever runs the work,
    the rows are the same, in the same order.

    Args:
        options: the source, the columns, the eras, the share that is held out, the runner.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source or an era makes no sense.
        DataError: a file cannot be read, or a split would be empty.
        RunnerError: the runner cannot be reached, or failed.
    """
    splitter = Splitter(options)
    ingest = _spread if options.distributed else _here
    return ingest(options, splitter, Examples(examples))


def _here(options: IngestOptions, splitter: Splitter, examples: Examples) -> ExamplesManifest:
    """Reads and writes in this process."""
    from components.ingest.writing import Occurrences, clear

    source = open_source(options.source)
    digest = snapshot_digest(options.source)

    def ingested() -> tuple[Counter[str | None], Written]:
        clear(examples)
        documents: Counter[str | None] = Counter()
        with Occurrences() as seen:
            rows = read(source, options, splitter, documents)
            return documents, write(rows, seen.add, splitter, examples)

    documents, written = ingested()
    if splitter.force(written.nearest_missing()):
        documents, written = ingested()
    return _finish(options, splitter, examples, digest, documents, written)


def _spread(options: IngestOptions, splitter: Splitter, examples: Examples) -> ExamplesManifest:
    """Has the workers of a Beam runner read and write."""
    from components.ingest.distributed import TextWork
    from components.ingest.spread import Spread

    source = open_source(options.source)
    parts = source.parts()
    with Spread(options, examples) as spread:
        work = TextWork(options, splitter)
        digest, read_notes, notes = spread.ingest(parts, source.files().items(), work)
        written = Written.joined(notes)
        if splitter.force(written.nearest_missing()):
            written = Written.joined(spread.write_again(work))
        spread.publish()
    documents: Counter[str | None] = Counter()
    for note in read_notes:
        documents.update(note)
    return _finish(options, splitter, examples, digest, documents, written)


def _finish(
    options: IngestOptions,
    splitter: Splitter,
    examples: Examples,
    digest: str,
    documents: Counter[str | None],
    written: Written,
) -> ExamplesManifest:
    """Checks that there is something in each split, and writes the manifest."""
    _refuse_empty(options, splitter, documents, written)
    manifest = ExamplesManifest(
        source=options.source,
        snapshot_digest=digest,
        splits=written.splits,
        columns=COLUMNS,
        duplicates=written.duplicates,
    )
    examples.write_manifest(manifest)
    rows = ", ".join(f"{name} {info.rows:,}" for name, info in written.splits.items())
    print(f"progress: {rows}; {written.duplicates:,} duplicates dropped", flush=True)
    return manifest


def _refuse_empty(
    options: IngestOptions, splitter: Splitter, documents: Counter[str | None], written: Written
) -> None:
    source = options.source
    total = sum(documents.values())
    if total == 0:
        raise DataError(f"expected documents in {source!r}. Received: none")
    reference = documents[TRAIN] + documents[EVAL]
    if reference == 0:
        raise DataError(
            f"expected documents in the training era {options.reference_from or '...'} "
            f"to {options.reference_to or '...'}. Received: none of {total} in {source!r}"
        )
    if splitter.current.bounded and not documents[CURRENT]:
        raise DataError(
            f"expected documents in the current era {options.current_from or '...'} "
            f"to {options.current_to or '...'}. Received: none of {total} in {source!r}"
        )
    if not any(info.rows for info in written.splits.values()):
        raise DataError(f"expected text in {source!r}. Received: {total} documents without any")
    for split in (TRAIN, EVAL):
        if not written.splits[split].rows:
            raise DataError(
                f"expected text for both train and eval. Received: {reference} documents of "
                f"the training era in {source!r}, none of them with text for {split}; give "
                "two or more documents that differ"
            )
