"""The graph runs inside an exported model, and the wrong graph is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.errors import DataError
from components.transform.image.load import load_transform


class _Model(tf.Module):
    def __init__(self, graph: Path) -> None:
        super().__init__()
        self.transform = load_transform(graph)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def decode(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": self.transform.decode(image)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="label")])
    def label(self, label: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"id": self.transform.label_ids(label)}


def test_an_exported_model_takes_the_transform_along(step: Any, tmp_path: Path) -> None:
    model = _Model(step.graph.path)
    signatures = {"decode": model.decode, "label": model.label}
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=signatures)
    served = tf.saved_model.load(str(tmp_path / "model")).signatures
    row = next(iter(step.rows("train").values()))
    found = served["decode"](image=tf.constant([row["image"]]))["pixels"].numpy()
    expected = load_transform(step.graph.path).decode(tf.constant([row["image"]])).numpy()
    assert np.array_equal(found, expected)
    ids = served["label"](label=tf.constant(["dot", "nothing", "bar"]))["id"]
    assert (ids.dtype, ids.numpy().tolist()) == (tf.int32, [1, -1, 0])


def test_without_a_graph_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a transform graph at .*Received: no transform_fn there"):
        load_transform(tmp_path)
