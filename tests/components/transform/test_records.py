"""The bytes are those of TensorFlow's own message."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.transform.records import BYTES, FLOATS, INTEGERS, Serializer, integers


@pytest.mark.parametrize("size", [0, 1, 3, 12_288])
def test_a_record_parses_to_what_was_written(size: int) -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=size).astype(np.float32)
    whole = generator.integers(0, 100_000, size)
    (packed,) = integers(whole, np.array([0, size]))
    serialize = Serializer(name=BYTES, x=FLOATS, n=INTEGERS)
    record = serialize(b"0123abcd", numbers.tobytes(), packed)
    assert record == serialize(b"0123abcd", numbers.tobytes(), packed)
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {"name", "x", "n"}
    assert list(feature["name"].bytes_list.value) == [b"0123abcd"]
    assert np.array_equal(feature["x"].float_list.value, numbers)
    assert list(feature["n"].int64_list.value) == whole.tolist()


def test_integers_of_any_size_are_those_of_the_message() -> None:
    rows = [[0, 1, 127], [], [128, 16_383, 16_384], [2**31, 2**63 - 1], [-1, -(2**63), 5]]
    values = np.array([each for row in rows for each in row], np.int64)
    splits = np.cumsum([0, *map(len, rows)])
    for row, content in zip(rows, integers(values, splits), strict=True):
        example = tf.train.Example()
        example.features.feature["n"].int64_list.value[:] = row
        assert Serializer(n=INTEGERS)(content) == example.SerializeToString()


def test_the_bytes_of_an_example_are_those_of_the_message() -> None:
    serialize = Serializer(example_id=BYTES, values=FLOATS)
    for name, values in ((b"", [0.5]), (b"a" * 200, []), (b"b", [1.0] * 5000)):
        example = tf.train.Example()
        example.features.feature["example_id"].bytes_list.value.append(name)
        example.features.feature["values"].float_list.value[:] = values
        again = tf.train.Example.FromString(serialize(name, np.array(values, "<f4").tobytes()))
        assert again == example
        assert again.ByteSize() == len(serialize(name, np.array(values, "<f4").tobytes()))
