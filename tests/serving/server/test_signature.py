"""What a signature of a SavedModel takes, beside what a whole server shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`scale` has a default for its factor, as tf.saved_model can write it."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    from serving.server.predict import LoadedModel

    path = tmp_path_factory.mktemp("signature") / "1"
    module = tf.Module()
    module.weight = tf.Variable(10.0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, "x"),
            tf.TensorSpec([], tf.float32, "factor"),
        ]
    )
    def scale(x: Any, factor: Any) -> Any:
        return {"y": x * factor * module.weight, "largest": tf.reduce_max(x)}

    module.scale = scale
    tf.saved_model.save(module, str(path), signatures={"scale": scale})
    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    default = saved.meta_graphs[0].signature_def["scale"].defaults["factor"]
    default.CopyFrom(tf.make_tensor_proto(2.0, tf.float32))
    file.write_bytes(saved.SerializeToString())
    return LoadedModel(path)


def request(**inputs: Any) -> Any:
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictRequest()
    message.model_spec.signature_name = "scale"
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(value, np.float32)))
    return message


def refusal(call: Callable[..., Any], message: Any) -> tuple[grpc.StatusCode, str]:
    from serving.server.errors import StatusError

    with pytest.raises(StatusError) as raised:
        call(message)
    return raised.value.code, raised.value.message


def test_an_input_that_is_left_out_takes_its_default(model: Any) -> None:
    _, outputs = model.predict(request(x=[1, 2]))
    assert list(outputs["y"].float_val) == [20, 40]
    _, outputs = model.predict(request(x=[1, 2], factor=3))
    assert list(outputs["y"].float_val) == [30, 60]


def test_a_scalar_output_has_no_dimensions(model: Any) -> None:
    _, outputs = model.predict(request(x=[1, 5, 2]))
    assert list(outputs["largest"].float_val) == [5]
    assert outputs["largest"].HasField("tensor_shape")
    assert not outputs["largest"].tensor_shape.dim


def test_an_input_without_a_default_is_asked_for(model: Any) -> None:
    assert refusal(model.predict, request(factor=3)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Signature input alias: x(feed name: scale_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {factor}, or default input alias set: "
        "factor",
    )


def test_a_name_that_the_signature_lacks_is_refused(model: Any) -> None:
    assert refusal(model.predict, request(x=[1], weight=3)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Inputs contains invalid name. Used request inputs: x, request input: weight,x",
    )
    assert refusal(model.predict, request(x=[1], weight=3, factor=1)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "input size does not match signature: 3!=2 len({factor,weight,x}) != len({factor,x}). "
        "Sent extra: {weight}. Missing but required: {}.",
    )


def test_the_inputs_of_a_request_are_not_changed_by_the_graph(model: Any) -> None:
    """They are handed over without a copy."""
    message = request(x=[1, 2, 3])
    before = message.SerializeToString()
    for _ in range(3):
        _, outputs = model.predict(message)
        assert list(outputs["y"].float_val) == [20, 40, 60]
    assert message.SerializeToString() == before


def test_a_model_of_tensorflow_1_is_called_the_public_way(tmp_path: Path) -> None:
    import tensorflow as tf

    from serving.server.predict import LoadedModel

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], "x")
        v1.saved_model.simple_save(session, str(tmp_path / "1"), {"x": x}, {"y": x + 1})
    model = LoadedModel(tmp_path / "1")
    assert not model.signatures["serving_default"].is_quick
    message = request(x=[1, 2])
    message.model_spec.signature_name = ""
    assert list(model.predict(message)[1]["y"].float_val) == [2, 3]
