"""The bytes are those of TensorFlow's own message."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.transform.image.records import serialize


@pytest.mark.parametrize("label", [0, 7, 127, 128, 70_000, -1])
@pytest.mark.parametrize("size", [1, 3, 12_288])
def test_a_record_parses_to_what_was_written(size: int, label: int) -> None:
    pixels = np.random.default_rng(0).normal(size=size).astype(np.float32)
    record = serialize("0123abcd", pixels.tobytes(), label)
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {"example_id", "image", "label"}
    assert list(feature["example_id"].bytes_list.value) == [b"0123abcd"]
    assert np.array_equal(feature["image"].float_list.value, pixels)
    assert list(feature["label"].int64_list.value) == [label]
