"""Applies the transform graph to images and writes TFRecords."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import EVAL, IMAGE, TRAIN, Examples, TransformedExamples, TransformGraph
from components.errors import DataError
from components.transform.image.load import load_transform
from components.transform.image.options import TransformImageOptions
from components.transform.image.records import serialize

BATCH_ROWS = 1000
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
        options: the shape of the results.
        graph: the transform to apply.
        transformed: written to, the statistics last.

    Returns:
        The statistics.

    Raises:
        DataError: an image cannot be decoded.
    """
    transform = load_transform(graph.path)
    signature = [tf.TensorSpec([None], tf.string)] * 2

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def apply(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return transform.decode(image), transform.label_ids(label)

    splits = {}
    for split in (TRAIN, EVAL):
        rows = 0
        for index, shard in enumerate(examples.shards(split)):
            path = transformed.shard_path(split, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                tf.io.TFRecordWriter(str(path)) as writer,
                pq.ParquetFile(shard) as reader,
            ):
                for batch in reader.iter_batches(BATCH_ROWS, columns=list(_COLUMNS)):
                    for record in _records(batch, apply):
                        writer.write(record)
                    rows += batch.num_rows
                    print(f"progress: {split}: {rows:,} images", flush=True)
        splits[split] = {"rows": rows}
    statistics = {
        "modality": IMAGE,
        "shape": [options.height, options.width, options.channels],
        "labels": list(labels),
        **splits,
    }
    transformed.write_statistics(statistics)
    return statistics


def _records(batch: pa.RecordBatch, apply: Any) -> Iterator[bytes]:
    """Yields each row as a serialized tf.train.Example."""
    files, labels = (
        tf.constant(batch.column(name).to_numpy(zero_copy_only=False), tf.string)
        for name in ("image", "label")
    )
    try:
        images, ids = apply(files, labels)
    except tf.errors.InvalidArgumentError:
        _refuse_broken(batch, apply)
        raise
    flat = images.numpy().reshape(batch.num_rows, -1).astype("<f4", copy=False)
    names = batch.column("example_id").to_pylist()
    for name, pixels, label in zip(names, flat, ids.numpy().tolist(), strict=True):
        yield serialize(name, pixels.tobytes(), label)


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
