"""Learns the transform from the training split with TensorFlow Transform on Beam."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from components.artifacts import TRAIN, Examples, TransformGraph
from components.beam import running
from components.transform.options import TransformOptions
from components.transform.spread import scratch_folder
from components.transform.text_preprocessing import preprocessing_fn

FEATURES = ("example_id", "text")
BATCH_ROWS = 1000

_BYTES_LIST = pa.large_list(pa.large_binary())


def raw_metadata() -> tft.DatasetMetadata:
    """The schema of the features that the transform reads."""
    return tft.DatasetMetadata.from_feature_spec(
        {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    )


def adapter_config() -> tensor_adapter.TensorAdapterConfig:
    """How record batches of `read_shard` become tensors."""
    return tensor_adapter.TensorAdapterConfig(
        pa.schema([(name, _BYTES_LIST) for name in FEATURES]),
        tensor_representation_util.InferTensorRepresentationsFromSchema(raw_metadata().schema),
    )


def read_shard(path: str) -> Iterator[pa.RecordBatch]:
    """Reads a Parquet shard as TFX's record batches: every value is a list of bytes."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as reader:
        for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=list(FEATURES)):
            offsets = pa.array(np.arange(batch.num_rows + 1))
            columns = [
                pa.LargeListArray.from_arrays(offsets, batch.column(name).cast(pa.large_binary()))
                for name in FEATURES
            ]
            yield pa.record_batch(columns, names=list(FEATURES))


def analyze(examples: Examples, options: TransformOptions, graph: TransformGraph) -> None:
    """Writes the transform graph with its metadata, in TFX's layout.

    Args:
        examples: read from: the split `train`.
        options: size of the vocabulary, and what runs the pipeline.
        graph: written to.
    """
    learn = functools.partial(
        preprocessing_fn, custom_config={"vocabulary_size": options.vocabulary_size}
    )
    shards = [str(path) for path in examples.shards(TRAIN)]
    with (
        scratch_folder(graph) as scratch,
        running(options) as pipeline,
        tft_beam.Context(temp_dir=scratch, force_tf_compat_v1=False),
    ):
        batches = pipeline | "Shards" >> beam.Create(shards) | "Read" >> beam.FlatMap(read_shard)
        transform_fn = (batches, adapter_config()) | tft_beam.AnalyzeDataset(learn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(graph.path))
        # WriteTransformFn leaves the raw metadata out, which TFTransformOutput reads.
        _ = raw_metadata() | tft_beam.WriteMetadata(str(graph.raw_metadata), pipeline)
