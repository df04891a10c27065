"""The client's messages are TensorFlow Serving's, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving.client import messages, tensors

PAIRS = [
    (messages.PredictRequest, predict_pb2.PredictRequest),
    (messages.PredictResponse, predict_pb2.PredictResponse),
    (messages.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
    (messages.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
    (messages.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
    (messages.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
    (messages.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
]


def assert_subset(ours: Any, theirs: Any, seen: set[str]) -> None:
    """Every field of ours is one of theirs: name, number, type and label, all the way down."""
    if ours.full_name in seen:
        return
    seen.add(ours.full_name)
    assert ours.full_name.replace("tensorflow.Dim", "tensorflow.TensorShapeProto.Dim") == (
        theirs.full_name
    )
    for field in ours.fields:
        twin = theirs.fields_by_name[field.name]
        same = ("number", "type", "is_repeated")
        assert all(getattr(field, key) == getattr(twin, key) for key in same), field.full_name
        if field.message_type is not None:
            assert_subset(field.message_type, twin.message_type, seen)
        if field.enum_type is not None:
            numbers = {value.name: value.number for value in twin.enum_type.values}
            for value in field.enum_type.values:
                assert numbers[value.name] == value.number


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_field_is_theirs(ours: Any, theirs: Any) -> None:
    assert_subset(ours.DESCRIPTOR, theirs.DESCRIPTOR, set())


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5, -2.0], "float32"),
        ([1.5, 1e300], "float64"),
        ([1, -(2**31)], "int32"),
        ([2**40, -1], "int64"),
        ([True, False], "bool"),
        (["é", b"\x00\xff"], "string"),
        ([], "int64"),
    ],
)
def test_tensors_travel_both_ways(values: list[Any], dtype: str) -> None:
    request = messages.PredictRequest(inputs={"x": tensors.vector(values, dtype)})
    request.model_spec.name = "text"
    request.model_spec.version.value = 7
    theirs = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert theirs.model_spec.version.value == 7
    array = tf.make_ndarray(theirs.inputs["x"])
    expected = [value.encode() if isinstance(value, str) else value for value in values]
    assert array.tolist() == expected

    sent = tf.make_tensor_proto(array, tf.as_dtype(dtype))  # tensor_content where there can be
    back = messages.TensorProto.FromString(sent.SerializeToString())
    assert tensors.flat_values(back) == expected


def test_a_repeated_last_value_is_spelled_out() -> None:
    sent = tf.make_tensor_proto(3, tf.int32, [2, 2])
    back = messages.TensorProto.FromString(sent.SerializeToString())
    assert tensors.flat_values(back) == [3, 3, 3, 3]


def test_tensors_that_cannot_be_read_say_why() -> None:
    half = tf.make_tensor_proto(np.ones(2, np.float16))
    with pytest.raises(ValueError, match="expected a tensor of"):
        tensors.flat_values(messages.TensorProto.FromString(half.SerializeToString()))
    proto = tensors.vector([1, 2], "int32")
    proto.tensor_shape.dim[0].size = 0
    with pytest.raises(ValueError, match=r"expected 0 values\. Received: 2"):
        tensors.flat_values(proto)


def test_fields_that_the_client_does_not_know_survive() -> None:
    request = predict_pb2.PredictRequest(client_id=b"someone")
    kept = messages.PredictRequest.FromString(request.SerializeToString()).SerializeToString()
    assert predict_pb2.PredictRequest.FromString(kept).client_id == b"someone"
