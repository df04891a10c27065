"""TensorProtos are read and written as TensorFlow does it, and bad ones cost nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest


def proto(dtype: str, shape: list[int], **fields: Any) -> Any:
    from tensorflow.core.framework import tensor_pb2, types_pb2

    message = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(f"DT_{dtype}"), **fields)
    message.tensor_shape.SetInParent()
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


@pytest.mark.parametrize(
    "name",
    [
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bool",
        "string",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_every_type_comes_back_as_it_was(name: str, shape: tuple[int, ...]) -> None:
    import numpy as np
    import tensorflow as tf

    from serving.server.tensors import to_array, to_proto

    dtype = tf.dtypes.as_dtype(name)
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    values: Any = numbers.astype(dtype.as_numpy_dtype)
    if name == "string":
        values = np.array([b"\x00%d\x00" % number for number in numbers.ravel()], object)
        values = values.reshape(shape)
    answered = to_proto(values, dtype)
    assert not answered.tensor_content
    assert tf.make_ndarray(answered).tolist() == values.tolist()
    assert to_array(answered).tolist() == values.tolist()
    sent = tf.make_tensor_proto(values, dtype, shape)
    read = to_array(sent)
    assert read.shape == shape
    assert read.tolist() == values.tolist()


def test_the_last_value_is_repeated_none_means_zero_and_too_many_are_cut() -> None:
    from serving.server.tensors import to_array

    assert to_array(proto("FLOAT", [2, 2], float_val=[1, 2])).tolist() == [[1, 2], [2, 2]]
    assert to_array(proto("INT64", [3])).tolist() == [0, 0, 0]
    assert to_array(proto("STRING", [2])).tolist() == [b"", b""]
    assert to_array(proto("INT32", [1], int_val=[7, 8, 9])).tolist() == [7]


def test_strings_in_tensor_content_have_their_lengths_in_front() -> None:
    from serving.server.tensors import to_array

    long = b"x" * 300
    content = bytes([2, 0, 0xAC, 0x02]) + b"ab" + long
    read = to_array(proto("STRING", [3], tensor_content=content))
    assert read.tolist() == [b"ab", b"", long]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: proto("FLOAT", [2], tensor_content=b"\0" * 7),
        lambda: proto("FLOAT", [2], tensor_content=b"\0" * 12),
        lambda: proto("FLOAT", [-1], float_val=[1]),
        lambda: proto("FLOAT", [-2, -3], float_val=[1] * 6),
        lambda: proto("INT8", [1], int_val=[1000]),
        lambda: proto("STRING", [2], tensor_content=b"\x05\x05abc"),
        lambda: proto("STRING", [2], tensor_content=b"\xff\xff\xff\xff\xff\xff"),
        lambda: proto("STRING", [2**40], tensor_content=b"\x01a"),
        lambda: proto("RESOURCE", [1]),
        lambda: proto("INVALID", [1]),
        lambda: proto("FLOAT_REF", [1], float_val=[1]),
    ],
)
def test_what_is_no_tensor_is_refused(bad: Any) -> None:
    from serving.server.tensors import TensorError, to_array

    with pytest.raises(TensorError):
        to_array(bad())


def test_an_unknown_rank_is_refused() -> None:
    from serving.server.tensors import TensorError, to_array

    message = proto("FLOAT", [], float_val=[1])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(TensorError):
        to_array(message)


@pytest.mark.parametrize("shape", [[2**62, 2**62], [10**12], [2**20, 2**20], [2**31]])
@pytest.mark.parametrize("dtype", ["FLOAT", "STRING", "INT8"])
def test_a_giant_shape_in_a_small_message_takes_no_memory(dtype: str, shape: list[int]) -> None:
    from serving.server.tensors import TensorError, to_array

    tracemalloc.start()
    try:
        with pytest.raises(TensorError):
            to_array(proto(dtype, shape))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
