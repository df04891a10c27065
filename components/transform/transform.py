"""The transform step: text to tokens, by a graph that the served model takes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import TRAIN, Examples, TransformedExamples, TransformGraph
from components.errors import DataError
from components.transform.options import TransformOptions


def run(
    examples: Path, options: TransformOptions, graph: Path, transformed: Path
) -> dict[str, Any]:
    """Learns the transform from the training split and applies it.

    Args:
        examples: folder of validated examples.
        options: size of the vocabulary.
        graph: folder to write the transform graph to, in TFX's layout.
        transformed: folder to write TFRecords to.

    Returns:
        `vocabulary_size`, and per split `rows` and `tokens`.

    Raises:
        DataError: there is no training example.
    """
    source = Examples(examples)
    if not source.has(TRAIN):
        raise DataError(
            f"expected training examples in {examples}. Received: none; "
            "check the source, the reference era and what validation rejected"
        )
    # TensorFlow Transform on Beam takes seconds to import: after the checks.
    from components.transform.analyze import analyze
    from components.transform.materialize import materialize

    written = TransformGraph(graph)
    print("progress: learning the vocabulary", flush=True)
    analyze(source, options, written)
    print("progress: turning text into tokens", flush=True)
    return materialize(source, options, written, TransformedExamples(transformed))
