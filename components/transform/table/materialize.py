"""Applies the transform graph to the rows of a table and writes TFRecords."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import TABLE, Examples, TransformedExamples, TransformGraph, read_json
from components.table_layout import TableLayout
from components.transform.spread import Records, write_shards
from components.transform.table.features import EXAMPLE_ID, feature_tensor, feature_values
from components.transform.table.load import load_transform
from components.transform.table.options import TransformTableOptions

BATCH_ROWS = 8192


def materialize(
    examples: Examples,
    options: TransformTableOptions,
    graph: TransformGraph,
    transformed: TransformedExamples,
) -> dict[str, Any]:
    """Writes the transformed training and evaluation splits, one file per shard.

    Args:
        examples: read from.
        options: what runs the work.
        graph: the transform to apply.
        transformed: written to, the statistics last.

    Returns:
        The statistics.
    """
    load = functools.partial(_open_records, str(graph.path))
    written = write_shards(load, examples, transformed, options, "rows")
    for split, one in written.items():
        if one.left_out:
            print(f"progress: {split}: {one.left_out:,} left out: unseen categories", flush=True)
    layout = TableLayout.from_json(read_json(graph.table_layout))
    splits = {name: {"rows": one.rows, "left_out": one.left_out} for name, one in written.items()}
    statistics = {"modality": TABLE, **layout.to_json(), **splits}
    transformed.write_statistics(statistics)
    return statistics


def _open_records(graph: str) -> Records:
    """Loads the graph; the result yields each row of a shard as a serialized tf.train.Example.

    A row that has no layout is None.
    """
    transform = load_transform(Path(graph))
    compiled = tf.function(transform.transform, reduce_retracing=True)
    columns = [layout.column for layout in transform.layout.columns]
    names = [EXAMPLE_ID, *(column.name for column in columns)]

    def records(shard: Path) -> Iterator[tuple[bytes | None, int]]:
        with pq.ParquetFile(shard) as reader:
            for batch in reader.iter_batches(BATCH_ROWS, columns=names):
                features = {
                    column.name: feature_tensor(
                        feature_values(batch.column(column.name), column), column
                    )
                    for column in columns
                }
                codes, values = (found.numpy() for found in compiled(features))
                seen = (codes >= 0).all(axis=1)
                ids = batch.column(EXAMPLE_ID).to_pylist()
                for row, example_id in enumerate(ids):
                    yield (_example(example_id, codes[row], values[row]) if seen[row] else None), 0

    return records


def _example(example_id: str, codes: np.ndarray, values: np.ndarray) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature[EXAMPLE_ID].bytes_list.value.append(example_id.encode())
    feature["codes"].int64_list.value.extend(codes.tolist())
    feature["values"].float_list.value.extend(values.tolist())
    serialized: bytes = example.SerializeToString()
    return serialized
