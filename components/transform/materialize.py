"""Applies the transform graph to the examples and writes TFRecords."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import Examples, TransformedExamples, TransformGraph
from components.transform.ahead import ahead
from components.transform.load import load_transform
from components.transform.options import TransformOptions
from components.transform.records import BYTES, INTEGERS, Serializer, integers
from components.transform.spread import Records, write_shards
from components.transform.tokenizer import FIRST_SUBWORD, VOCABULARY_NAME

BATCH_ROWS = 1000


def materialize(
    examples: Examples,
    options: TransformOptions,
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
    written = write_shards(load, examples, transformed, options, "texts")
    splits = {name: {"rows": one.rows, "tokens": one.tokens} for name, one in written.items()}
    subwords = (graph.transform_fn / "assets" / VOCABULARY_NAME).read_bytes().count(b"\n")
    statistics = {"vocabulary_size": FIRST_SUBWORD + subwords, **splits}
    transformed.write_statistics(statistics)
    return statistics


def _open_records(graph: str) -> Records:
    """Loads the graph; the result yields each row of a shard as a serialized tf.train.Example."""
    transform = load_transform(Path(graph))
    serialize = Serializer(example_id=BYTES, tokens=INTEGERS)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def tokenize(texts: tf.Tensor) -> tf.RaggedTensor:
        return transform.tokenize(texts)

    def tokenized(batch: pa.RecordBatch) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        texts = batch.column("text").to_numpy(zero_copy_only=False)
        tokens = tokenize(tf.constant(texts, tf.string))
        names = batch.column("example_id").cast(pa.binary()).to_pylist()
        return names, tokens.values.numpy(), tokens.row_splits.numpy()

    def records(shard: Path) -> Iterator[tuple[bytes, int]]:
        with pq.ParquetFile(shard) as reader:
            batches = reader.iter_batches(BATCH_ROWS, columns=["example_id", "text"])
            for names, values, splits in ahead(tokenized, batches):
                lists, lengths = integers(values, splits), np.diff(splits).tolist()
                for name, ids, length in zip(names, lists, lengths, strict=True):
                    yield serialize(name, ids), length

    return records
