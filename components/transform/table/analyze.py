"""Learns the transform of a table from the training split with TensorFlow Transform on Beam."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from components.artifacts import TRAIN, Examples, TransformGraph
from components.beam import BeamOptions, running
from components.table_schema import Column, TableSchema
from components.transform.spread import scratch_folder
from components.transform.table.features import (
    EXAMPLE_ID,
    feature_lists,
    feature_spec,
    feature_values,
)
from components.transform.table.layout import write_layout
from components.transform.table.options import TransformTableOptions
from components.transform.table.preprocessing import preprocessing_fn

BATCH_ROWS = 10_000


def custom_config(schema: TableSchema, options: TransformTableOptions) -> dict[str, object]:
    """What `preprocessing_fn` needs to know beside the rows."""
    return {"schema": schema.to_json(), **options.model_dump(exclude=set(BeamOptions.model_fields))}


def read_shard(path: str, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
    """Reads a Parquet shard as TFX's record batches: every value is a list."""
    import pyarrow.parquet as pq

    names = [EXAMPLE_ID, *(column.name for column in columns)]
    with pq.ParquetFile(path) as reader:
        for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=names):
            lists = [feature_lists(batch.column(EXAMPLE_ID).cast(pa.large_binary()))]
            for column in columns:
                values = feature_values(batch.column(column.name), column)
                lists.append(feature_lists(values))
            yield pa.record_batch(lists, names=names)


def analyze(
    examples: Examples, schema: TableSchema, options: TransformTableOptions, graph: TransformGraph
) -> None:
    """Writes the transform graph with its metadata, in TFX's layout, and the table's layout.

    Args:
        examples: read from: the split `train`.
        schema: of the examples.
        options: how many modes, values and categories have codes, and what runs the pipeline.
        graph: written to.
    """
    metadata = tft.DatasetMetadata.from_feature_spec(feature_spec(schema.columns))
    config = custom_config(schema, options)
    learn = functools.partial(preprocessing_fn, custom_config=config)
    shards = [str(path) for path in examples.shards(TRAIN)]
    read = functools.partial(read_shard, columns=schema.columns)
    first = next(read(shards[0]))
    adapter = tensor_adapter.TensorAdapterConfig(
        first.schema,
        tensor_representation_util.InferTensorRepresentationsFromSchema(metadata.schema),
    )
    with (
        scratch_folder(graph) as scratch,
        running(options) as pipeline,
        tft_beam.Context(temp_dir=scratch, force_tf_compat_v1=False),
    ):
        batches = pipeline | "Shards" >> beam.Create(shards) | "Read" >> beam.FlatMap(read)
        transform_fn = (batches, adapter) | tft_beam.AnalyzeDataset(learn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(graph.path))
        # WriteTransformFn leaves the raw metadata out, which TFTransformOutput reads.
        _ = metadata | tft_beam.WriteMetadata(str(graph.raw_metadata), pipeline)
    write_layout(graph, schema, config)
