"""The transform step for tables: rows to codes and values, by a graph that the model keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import TABLE, TRAIN, Examples, TransformedExamples, TransformGraph
from components.errors import DataError
from components.table_schema import TableSchema
from components.transform.table.options import TransformTableOptions


def run(
    examples: Path, options: TransformTableOptions, graph: Path, transformed: Path
) -> dict[str, Any]:
    """Learns the transform from the training split and applies it.

    A held-out row with a category that no training row has cannot be laid out unless training
    had categories that were not kept: it is left out and counted.

    Args:
        examples: folder of validated examples of a table.
        options: how many modes, values and categories have codes.
        graph: folder to write the transform graph to, in TFX's layout.
        transformed: folder to write TFRecords to.

    Returns:
        `modality`; `columns` and `constraints` as components/table_layout.py writes them; and
        per split `rows`, and `left_out` for those that could not be laid out.

    Raises:
        DataError: there is no training example, a column of them has no value, or the examples
            are no table.
    """
    source = Examples(examples)
    manifest = source.manifest()
    if manifest.modality != TABLE:
        raise DataError(f"expected a table in {examples}. Received: {manifest.modality}")
    if not source.has(TRAIN):
        raise DataError(
            f"expected training examples in {examples}. Received: none; "
            "check the source, the reference era and what validation rejected"
        )
    schema = TableSchema.from_json(manifest.details)
    _refuse_empty_columns(source, schema)
    # TensorFlow Transform on Beam takes seconds to import: after the checks.
    from components.transform.table.analyze import analyze
    from components.transform.table.materialize import materialize

    written = TransformGraph(graph)
    print("progress: learning modes and categories", flush=True)
    analyze(source, schema, options, written)
    print("progress: turning rows into codes", flush=True)
    return materialize(source, options, written, TransformedExamples(transformed))


def _refuse_empty_columns(source: Examples, schema: TableSchema) -> None:
    """Fails where validation has rejected all training rows that have a value of a column."""
    empty = set(schema.names)
    for batch in source.batches(TRAIN, columns=schema.names):
        empty -= {name for name in empty if batch.column(name).null_count < batch.num_rows}
        if not empty:
            return
    names = [name for name in schema.names if name in empty]
    leave = ", ".join(f"'-{name}'" for name in names)
    raise DataError(
        f"expected values in every column of the training rows in {source.path}. Received: none in "
        f"{', '.join(names)}; leave out: ingest.columns: [{leave}]"
    )
