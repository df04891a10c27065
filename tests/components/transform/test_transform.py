"""The step writes TFX's layout, and the rows that Beam would have written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.artifacts import TRAIN, Examples, ExamplesManifest, SplitInfo
from components.errors import DataError
from components.transform.load import load_transform
from components.transform.options import TransformOptions
from components.transform.transform import run


def written_tokens(step: Any, split: str) -> dict[str, list[int]]:
    paths = [str(path) for path in step.transformed.shards(split)]
    spec = tft.TFTransformOutput(str(step.graph.path)).transformed_feature_spec()
    rows = {}
    for record in tf.data.TFRecordDataset(paths):
        row = tf.io.parse_single_example(record, spec)
        rows[row["example_id"].numpy().decode()] = (
            tf.sparse.to_dense(row["tokens"]).numpy().tolist()
        )
    return rows


def test_tfx_reads_graph_vocabulary_and_both_schemas(step: Any) -> None:
    output = tft.TFTransformOutput(str(step.graph.path))
    assert set(output.raw_feature_spec()) == {"example_id", "text"}
    assert set(output.transformed_feature_spec()) == {"example_id", "tokens"}
    layer = output.transform_features_layer()
    tokens = layer({"example_id": tf.constant(["x"]), "text": tf.constant(["hello"])})["tokens"]
    assert tf.sparse.to_dense(tokens).shape[0] == 1


def test_every_example_is_written_with_the_tokens_of_its_text(step: Any) -> None:
    transform = load_transform(step.graph.path)
    for split in ("train", "eval"):
        texts = step.texts(split)
        served = transform.tokenize(tf.constant(list(texts.values()))).to_list()
        assert written_tokens(step, split) == dict(zip(texts, served, strict=True))
        back = transform.detokenize(tf.ragged.constant(served)).numpy()
        assert [text.decode() for text in back] == list(texts.values())


def test_statistics_count_what_was_written(step: Any) -> None:
    statistics = step.transformed.statistics()
    rows = written_tokens(step, "train")
    assert statistics["vocabulary_size"] == 600
    assert statistics["train"] == {
        "rows": len(rows),
        "tokens": sum(len(tokens) for tokens in rows.values()),
    }
    text = sum(len(text.encode()) for text in step.texts("train").values())
    assert statistics["train"]["tokens"] < text / 2, "the subwords hardly compress"


def test_rows_equal_those_of_beams_own_transform(step: Any) -> None:
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from apache_beam.testing.util import assert_that

    from components.beam import BeamOptions, running
    from components.transform.analyze import adapter_config, read_shard

    expected = written_tokens(step, "eval")

    def check(batches: list[Any]) -> None:
        found = {}
        for batch, _ in batches:
            ids, tokens = (
                batch.column(batch.schema.names.index(name)).to_pylist()
                for name in ("example_id", "tokens")
            )
            found.update(
                {
                    row[0].decode(): row_tokens or []
                    for row, row_tokens in zip(ids, tokens, strict=True)
                }
            )
        assert found == expected

    with (
        tempfile.TemporaryDirectory() as scratch,
        running(BeamOptions()) as pipeline,
        tft_beam.Context(temp_dir=scratch, force_tf_compat_v1=False),
    ):
        transform_fn = pipeline | tft_beam.ReadTransformFn(str(step.graph.path))
        shards = [str(path) for path in step.examples.shards("eval")]
        batches = pipeline | beam.Create(shards) | beam.FlatMap(read_shard)
        data, _ = ((batches, adapter_config()), transform_fn) | tft_beam.TransformDataset(
            output_record_batches=True
        )
        assert_that(data, check)


def test_no_training_example_is_one_clear_line(tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples")
    examples.path.mkdir()
    empty = SplitInfo(0, 0, None, None)
    examples.write_manifest(ExamplesManifest("s", "d", {TRAIN: empty}, {}))
    with pytest.raises(DataError, match="expected training examples"):
        run(examples.path, TransformOptions(), tmp_path / "graph", tmp_path / "transformed")
    assert not (tmp_path / "graph").exists()
