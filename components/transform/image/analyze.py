"""Writes the transform graph of images with TensorFlow Transform, in TFX's layout."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from components.artifacts import TransformGraph
from components.beam import BeamOptions, running
from components.transform.image.image_preprocessing import preprocessing_fn
from components.transform.image.options import TransformImageOptions
from components.transform.spread import scratch_folder

FEATURES = ("example_id", "image", "label")


def raw_metadata() -> tft.DatasetMetadata:
    """The schema of the features that the transform reads."""
    return tft.DatasetMetadata.from_feature_spec(
        {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    )


def adapter_config() -> tensor_adapter.TensorAdapterConfig:
    """How record batches of the features would become tensors."""
    return tensor_adapter.TensorAdapterConfig(
        pa.schema([(name, pa.large_list(pa.large_binary())) for name in FEATURES]),
        tensor_representation_util.InferTensorRepresentationsFromSchema(raw_metadata().schema),
    )


def analyze(labels: Sequence[str], options: TransformImageOptions, graph: TransformGraph) -> None:
    """Writes the transform graph with its metadata.

    The transform has no analyzer: nothing of it is learnt from the images, so none of them goes
    through Beam.

    Args:
        labels: names of the classes, in the order of their ids.
        options: the shape of the results, and what runs the pipeline.
        graph: written to.
    """
    config = {**options.model_dump(exclude=set(BeamOptions.model_fields)), "labels": list(labels)}
    learn = functools.partial(preprocessing_fn, custom_config=config)
    with (
        scratch_folder(graph) as scratch,
        running(options) as pipeline,
        tft_beam.Context(temp_dir=scratch, force_tf_compat_v1=False),
    ):
        nothing = pipeline | "NoRows" >> beam.Create([])
        transform_fn = (nothing, adapter_config()) | tft_beam.AnalyzeDataset(learn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(graph.path))
        # WriteTransformFn leaves the raw metadata out, which TFTransformOutput reads.
        _ = raw_metadata() | tft_beam.WriteMetadata(str(graph.raw_metadata), pipeline)
