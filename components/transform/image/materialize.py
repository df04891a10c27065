"""Applies the transform graph to images and writes TFRecords."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from components.artifacts import IMAGE, Examples, TransformedExamples, TransformGraph
from components.errors import DataError
from components.transform.ahead import ahead
from components.transform.image.load import load_transform
from components.transform.image.options import TransformImageOptions
from components.transform.records import BYTES, FLOATS, INTEGERS, Serializer, integers
from components.transform.spread import Records, write_shards

# Images that are decoded together: so many, or so many bytes of results.
_BATCH_ROWS = 1000
_BATCH_BYTES = 64 << 20
_COLUMNS = ("example_id", "image", "label")


def materialize(
    examples: Examples,
    labels: Sequence[str],
    options: TransformImageOptions,
    graph: TransformGraph,
    transformed: TransformedExamples,
) -> dict[str, Any]:
    """Writes the transformed training and evaluation splits, one file per shard.

    Args:
        examples: read from.
        labels: names of the classes, in the order of their ids.
        options: the shape of the results, and what runs the work.
        graph: the transform to apply.
        transformed: written to, the statistics last.

    Returns:
        The statistics.

    Raises:
        DataError: an image cannot be decoded.
    """
    shape = (options.height, options.width, options.channels)
    load = functools.partial(_open_records, str(graph.path), shape)
    written = write_shards(load, examples, transformed, options, "images")
    statistics = {
        "modality": IMAGE,
        "shape": list(shape),
        "labels": list(labels),
        **{split: {"rows": one.rows} for split, one in written.items()},
    }
    transformed.write_statistics(statistics)
    return statistics


def _open_records(graph: str, shape: tuple[int, int, int]) -> Records:
    """Loads the graph; the result yields each row of a shard as a serialized tf.train.Example."""
    transform = load_transform(Path(graph))
    serialize = Serializer(example_id=BYTES, image=FLOATS, label=INTEGERS)
    signature = [tf.TensorSpec([None], tf.string)] * 2

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def apply(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return transform.decode(image), transform.label_ids(label)

    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // (4 * math.prod(shape))))

    def records(shard: Path) -> Iterator[tuple[bytes, int]]:
        with pq.ParquetFile(shard) as reader:
            batches = reader.iter_batches(rows, columns=list(_COLUMNS))
            for names, pixels, ids in ahead(functools.partial(_applied, apply=apply), batches):
                labels = integers(ids, np.arange(len(ids) + 1))
                for name, image, label in zip(names, pixels, labels, strict=True):
                    yield serialize(name, image.tobytes(), label), 0

    return records


def _applied(
    batch: pa.RecordBatch, apply: Any
) -> tuple[list[bytes], NDArray[np.float32], NDArray[np.integer]]:
    """The names of rows, their pixels, float32 [rows, pixels], and the ids of their classes."""
    files, classes = (
        tf.constant(batch.column(name).to_numpy(zero_copy_only=False), tf.string)
        for name in ("image", "label")
    )
    try:
        images, ids = apply(files, classes)
    except tf.errors.InvalidArgumentError:
        _refuse_broken(batch, apply)
        raise
    flat = images.numpy().reshape(batch.num_rows, -1).astype("<f4", copy=False)
    return batch.column("example_id").cast(pa.binary()).to_pylist(), flat, ids.numpy()


def _refuse_broken(batch: pa.RecordBatch, apply: Any) -> None:
    """Finds the image that stopped a batch.

    Raises:
        DataError: it cannot be decoded.
    """
    names = batch.column("example_id").to_pylist()
    for name, image in zip(names, batch.column("image").to_pylist(), strict=True):
        try:
            apply(tf.constant([image]), tf.constant([""]))
        except tf.errors.InvalidArgumentError as error:
            reason = " ".join(str(error.message).split())[:200]
            raise DataError(
                f"expected PNG or JPEG images. Received: example {name}, which TensorFlow cannot "
                f"decode ({reason}); remove it from the source"
            ) from None
