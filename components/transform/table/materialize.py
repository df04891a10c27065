"""Applies the transform graph to the rows of a table and writes TFRecords."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import TABLE, Examples, TransformedExamples, TransformGraph, read_json
from components.table_layout import TableLayout
from components.transform.ahead import ahead
from components.transform.records import BYTES, FLOATS, INTEGERS, Serializer, integers
from components.transform.spread import Records, write_shards
from components.transform.table.features import EXAMPLE_ID, feature_tensor, feature_values
from components.transform.table.load import load_transform
from components.transform.table.options import TransformTableOptions

_BATCH_ROWS = 8192


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
    serialize = Serializer(example_id=BYTES, codes=INTEGERS, values=FLOATS)
    compiled = tf.function(transform.transform, reduce_retracing=True)
    columns = [layout.column for layout in transform.layout.columns]
    names = [EXAMPLE_ID, *(column.name for column in columns)]

    def laid_out(batch: pa.RecordBatch) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        features = {
            column.name: feature_tensor(feature_values(batch.column(column.name), column), column)
            for column in columns
        }
        codes, values = compiled(features)
        ids = batch.column(EXAMPLE_ID).cast(pa.binary()).to_pylist()
        return ids, codes.numpy(), values.numpy()

    def records(shard: Path) -> Iterator[tuple[bytes | None, int]]:
        with pq.ParquetFile(shard) as reader:
            for ids, codes, values in ahead(
                laid_out, reader.iter_batches(_BATCH_ROWS, columns=names)
            ):
                seen = np.all(codes >= 0, axis=1).tolist()
                lists = integers(codes.ravel(), np.arange(len(codes) + 1) * codes.shape[1])
                numbers = values.astype("<f4", copy=False)
                for name, known, row, some in zip(ids, seen, lists, numbers, strict=True):
                    yield (serialize(name, row, some.tobytes()) if known else None), 0

    return records
