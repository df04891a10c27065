"""The ingest step of images: pictures of a source to examples, split by time and by digest."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from components.artifacts import CURRENT, EVAL, IMAGE, TRAIN, Examples, ExamplesManifest
from components.errors import DataError
from components.ingest.image.looking import COLUMNS, Reader, Splitter, Written, write
from components.ingest.image.options import IngestImageOptions
from components.ingest.image.sources import named_files, open_source, snapshot_digest


def run(options: IngestImageOptions, examples: Path) -> ExamplesManifest:
    """Reads a source and writes its images as examples, each set of pixels once.

    An image that cannot be decoded, or is too large to be, is written with 0 channels and the
    reason in `problem`, so that the validate step sets it aside where people look for it. The
    manifest is written last: a folder without one is not complete. Whatever runs the work, the
    rows are the same, in the same order.

    Args:
        options: the source, the columns, the eras, the share that is held out, the runner.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source or an era makes no sense.
        DataError: a file cannot be read, no image can be decoded, all are of one class, or a
            split would be empty.
        RunnerError: the runner cannot be reached, or failed.
    """
    splitter = Splitter(options)
    ingest = _spread if options.distributed else _here
    return ingest(options, splitter, Examples(examples))


def _here(options: IngestImageOptions, splitter: Splitter, examples: Examples) -> ExamplesManifest:
    """Reads and writes in this process."""
    from components.ingest.writing import Occurrences, clear

    source = open_source(options.source)
    digest = snapshot_digest(options.source)
    reader = Reader(options, splitter)

    def ingested() -> Written:
        clear(examples)
        with Occurrences() as seen:
            return write(reader.rows(source), seen.add, splitter, examples)

    if options.max_rows:
        reader.bound = _bound(options, [reader.smallest(source)])
    written = ingested()
    if splitter.force(written.misplaced()):
        written = ingested()
    return _finish(options, splitter, examples, digest, reader.counts, written)


def _spread(
    options: IngestImageOptions, splitter: Splitter, examples: Examples
) -> ExamplesManifest:
    """Has the workers of a Beam runner read and write."""
    from components.ingest.image.distributed import ImageWork
    from components.ingest.spread import Spread

    source = open_source(options.source)
    columns = (options.image_column, options.label_column, options.time_column)
    parts = source.parts(*columns, options.provenance_column)
    reader = Reader(options, splitter)
    with Spread(options, examples) as spread:
        if options.max_rows:
            reader.bound = _bound(options, spread.each(reader.smallest, parts))
        work = ImageWork(reader)
        digest, read, notes = spread.ingest(parts, named_files(source), work)
        written = Written.joined(notes)
        if splitter.force(written.misplaced()):
            written = Written.joined(spread.write_again(work))
        spread.publish()
    counts: Counter[str] = Counter()
    for note in read:
        counts.update(note)
    return _finish(options, splitter, examples, digest, counts, written)


def _bound(options: IngestImageOptions, ranks: Iterable[list[int]]) -> int:
    """The rank of the last image that is taken."""
    smallest = heapq.nsmallest(options.max_rows, itertools.chain.from_iterable(ranks))
    return smallest[-1] if smallest else 0


def _finish(
    options: IngestImageOptions,
    splitter: Splitter,
    examples: Examples,
    digest: str,
    counts: Counter[str],
    written: Written,
) -> ExamplesManifest:
    """Checks that there is something in each split, and writes the manifest."""
    _refuse_empty(options, splitter, counts, written)
    labels = sorted(written.labels[TRAIN])
    _refuse_classes(options, labels, written)
    duplicates, undecoded = written.counts["duplicates"], written.counts["undecoded"]
    manifest = ExamplesManifest(
        source=options.source,
        snapshot_digest=digest,
        splits=written.splits,
        columns=COLUMNS,
        duplicates=duplicates,
        modality=IMAGE,
        details={"labels": labels},
    )
    examples.write_manifest(manifest)
    rows = ", ".join(f"{name} {info.rows:,}" for name, info in written.splits.items())
    broken = f"; {undecoded:,} could not be decoded" if undecoded else ""
    print(
        f"progress: {rows}; {len(labels):,} classes; {duplicates:,} duplicates dropped{broken}",
        flush=True,
    )
    return manifest


def _refuse_empty(
    options: IngestImageOptions, splitter: Splitter, read: Counter[str], written: Written
) -> None:
    source, counts = options.source, written.counts
    if not read["pictures"]:
        raise DataError(f"expected images in {source!r}. Received: none")
    if not read["in era"]:
        raise DataError(
            f"expected images in the training era {options.reference_from or '...'} to "
            f"{options.reference_to or '...'}. Received: none of {read['pictures']:,} in {source!r}"
        )
    if not counts["decoded"]:
        raise DataError(
            f"expected PNG or JPEG images in {source!r}. Received: {counts['undecoded']:,} "
            f"files, none of which is decoded; {written.first_problem}"
        )
    if splitter.current.bounded and not counts[CURRENT]:
        raise DataError(
            f"expected images in the current era {options.current_from or '...'} to "
            f"{options.current_to or '...'}. Received: none of {read['pictures']:,} in {source!r}"
        )
    for split in (TRAIN, EVAL):
        if not counts[split]:
            raise DataError(
                f"expected images for both train and eval. Received: "
                f"{counts[TRAIN] + counts[EVAL]:,} of the training era in {source!r}, none of "
                f"them for {split}; give two or more images that differ"
                + ("; or set ingest.split to digest" if options.split == "source" else "")
            )


def _refuse_classes(options: IngestImageOptions, labels: list[str], written: Written) -> None:
    """Refuses what no family conditional on classes can learn from."""
    if labels == [""]:
        return
    of_training = written.labels[TRAIN]
    if "" in labels:
        raise DataError(
            f"expected a class for every image in the column {options.label_column!r} of "
            f"{options.source!r}. Received: {of_training['']:,} training images without one; name "
            "their classes, or set ingest.label_column to '' for images without classes"
        )
    if len(labels) == 1:
        raise DataError(
            f"expected images of at least two classes in {options.source!r}. Received: "
            f"one, {labels[0]!r}, in all {of_training[labels[0]]:,} training images; "
            "add a class, or set ingest.label_column to '' for images without classes"
        )
