"""The step writes TFX's layout and one row for each image; what does not fit is one line."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.artifacts import Examples
from components.errors import DataError
from components.transform.image.load import load_transform
from components.transform.image.options import TransformImageOptions
from components.transform.image.transform import run

SMALL = TransformImageOptions(height=8, width=8, channels=1)


def test_tfx_reads_the_graph_and_both_schemas(step: Any) -> None:
    output = tft.TFTransformOutput(str(step.graph.path))
    assert set(output.raw_feature_spec()) == {"example_id", "image", "label"}
    spec = output.transformed_feature_spec()
    assert spec["image"].shape == [16, 12, 3]
    layer = output.transform_features_layer()
    row = next(iter(step.rows("train").values()))
    fed = {name: tf.constant([row[name]]) for name in ("example_id", "image", "label")}
    assert layer(fed)["image"].shape == (1, 16, 12, 3)


def test_rows_are_read_by_the_schema_that_the_graph_tells(step: Any) -> None:
    spec = tft.TFTransformOutput(str(step.graph.path)).transformed_feature_spec()
    (path,) = step.transformed.shards("train")
    row = next(iter(tf.data.TFRecordDataset(str(path)).map(
        lambda record: tf.io.parse_single_example(record, spec)
    )))  # fmt: skip
    assert row["image"].dtype == tf.float32
    assert row["image"].shape == (16, 12, 3)


def test_serving_turns_an_image_into_what_training_saw(step: Any) -> None:
    transform = load_transform(step.graph.path)
    for split in ("train", "eval"):
        rows, written = step.rows(split), step.written(split)
        assert set(rows) == set(written)
        assert len(rows) >= 5
        files = tf.constant([row["image"] for row in rows.values()])
        served = transform.decode(files).numpy()
        labels = transform.label_ids(tf.constant([row["label"] for row in rows.values()]))
        for place, name in enumerate(rows):
            feature = written[name].features.feature
            assert np.array_equal(feature["image"].float_list.value, served[place].ravel())
            assert list(feature["label"].int64_list.value) == [int(labels[place])]


def test_statistics_say_what_families_need(step: Any) -> None:
    assert step.transformed.statistics() == step.statistics
    rows = {split: {"rows": len(step.rows(split))} for split in ("train", "eval")}
    assert step.statistics == {
        "modality": "image", "shape": [16, 12, 3], "labels": ["bar", "dot"], **rows,
    }  # fmt: skip


def _changed(examples: Examples, copy: Path, split: str, **columns: Any) -> Path:
    """A copy of examples with the first values of some columns replaced."""
    shutil.copytree(examples.path, copy)
    (shard,) = Examples(copy).shards(split)
    rows = pq.read_table(shard)
    content = rows.to_pylist()
    for name, value in columns.items():
        content[0][name] = value
    pq.write_table(type(rows).from_pylist(content, rows.schema), shard)
    return copy


def test_a_label_outside_the_classes_is_named(pictures: Examples, tmp_path: Path) -> None:
    changed = _changed(pictures, tmp_path / "examples", "eval", label="zebra")
    message = r"one of the classes 'bar', 'dot' .*Received: 'zebra' in 1 rows of eval"
    with pytest.raises(DataError, match=message):
        run(changed, SMALL, tmp_path / "graph", tmp_path / "out")
    assert not (tmp_path / "graph").exists()


def test_a_class_without_training_images_is_named(pictures: Examples, tmp_path: Path) -> None:
    shutil.copytree(pictures.path, tmp_path / "examples")
    examples = Examples(tmp_path / "examples")
    manifest = examples.manifest()
    labels = {"labels": ["bar", "dot", "yak"]}
    examples.write_manifest(dataclasses.replace(manifest, details=labels))
    with pytest.raises(DataError, match=r"training images of every class. Received: none of 'yak'"):
        run(examples.path, SMALL, tmp_path / "graph", tmp_path / "out")


def test_an_image_that_cannot_be_decoded_is_named(pictures: Examples, tmp_path: Path) -> None:
    """Validation would have set it aside."""
    changed = _changed(pictures, tmp_path / "examples", "train", image=b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(DataError, match=r"Received: example [0-9a-f]{32}, which TensorFlow cannot"):
        run(changed, SMALL, tmp_path / "graph", tmp_path / "out")


def test_without_training_examples_nothing_is_written(pictures: Examples, tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples")
    examples.path.mkdir()
    manifest = pictures.manifest()
    examples.write_manifest(dataclasses.replace(manifest, splits={}))
    with pytest.raises(DataError, match="expected training examples"):
        run(examples.path, SMALL, tmp_path / "graph", tmp_path / "out")
    assert not (tmp_path / "graph").exists()


def test_only_grey_and_colour_can_be_chosen() -> None:
    with pytest.raises(ValueError, match=r"expected 1 \(grey\) or 3 \(colour\); received 4"):
        TransformImageOptions(channels=4)
