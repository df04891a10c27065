"""The transform step of images: files to arrays, by a graph that the served model takes along."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from components.artifacts import EVAL, TRAIN, Examples, TransformedExamples, TransformGraph
from components.errors import DataError
from components.transform.image.options import TransformImageOptions


def run(
    examples: Path, options: TransformImageOptions, graph: Path, transformed: Path
) -> dict[str, Any]:
    """Writes the transform graph and applies it to the training and evaluation splits.

    Args:
        examples: folder of validated examples.
        options: the shape of the results.
        graph: folder to write the transform graph to, in TFX's layout.
        transformed: folder to write TFRecords to.

    Returns:
        The statistics: `modality`, `shape`, `labels`, and per split `rows`.

    Raises:
        DataError: there is no training example, a label is none of the classes, a class has no
            training image, or an image cannot be decoded.
    """
    source = Examples(examples)
    if not source.has(TRAIN):
        raise DataError(
            f"expected training examples in {examples}. Received: none; "
            "check the source, the reference era and what validation rejected"
        )
    labels = [str(name) for name in source.manifest().details["labels"]]
    _refuse_labels(source, labels)
    # TensorFlow Transform on Beam takes seconds to import: after the checks.
    from components.transform.image.analyze import analyze
    from components.transform.image.materialize import materialize

    written = TransformGraph(graph)
    print("progress: writing the graph", flush=True)
    analyze(labels, options, written)
    print("progress: turning images into arrays", flush=True)
    return materialize(source, labels, options, written, TransformedExamples(transformed))


def _refuse_labels(source: Examples, labels: list[str]) -> None:
    """Compares the labels of the rows with the classes of the manifest.

    Raises:
        DataError: they do not agree.
    """
    for split in (TRAIN, EVAL):
        counts: Counter[str] = Counter()
        for batch in source.batches(split, columns=["label"]):
            counts.update(label or "" for label in batch.column("label").to_pylist())
        strange = sorted(set(counts) - set(labels))
        if strange:
            rows = sum(counts[label] for label in strange)
            raise DataError(
                f"expected one of the classes {', '.join(map(repr, labels))} in every row. "
                f"Received: {strange[0]!r}{_others(strange)} in {rows:,} rows of {split}; ingest "
                "the source anew"
            )
        missing = sorted(set(labels) - set(counts))
        if split == TRAIN and missing:
            raise DataError(
                f"expected training images of every class. Received: none of {missing[0]!r}"
                f"{_others(missing)}; look at what validation rejected, and add or remove the class"
            )


def _others(names: list[str]) -> str:
    return f" and {len(names) - 1:,} others" if len(names) > 1 else ""
