"""A real server answers TensorFlow Serving's own stubs with its codes and words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest


@pytest.fixture(scope="module")
def channel(server: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel: grpc.Channel) -> Any:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    from tensorflow_serving.apis import model_service_pb2_grpc

    return model_service_pb2_grpc.ModelServiceStub(channel)


def predict_request(signature: str = "double", /, **inputs: Any) -> Any:
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "text"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(value)))
    return request


def matrix(*rows: tuple[float, float]) -> Any:
    import numpy as np

    return np.asarray(rows, np.float32).reshape(len(rows), 2)


def refusal(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=20)
    return raised.value.code(), raised.value.details()


def test_predict_answers_in_typed_fields_and_names_the_version(prediction: Any) -> None:
    response = prediction.Predict(predict_request(x=matrix((1, 2), (3, 4))), timeout=20)
    assert list(response.outputs["y"].float_val) == [2, 4, 6, 8]
    assert [dim.size for dim in response.outputs["y"].tensor_shape.dim] == [2, 2]
    assert list(response.outputs["z"].float_val) == [2, 3, 4, 5]
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == "double"


def test_typed_fields_are_read_like_tensor_content(prediction: Any) -> None:
    request = predict_request(x=matrix((1, 2)))
    assert request.inputs["x"].tensor_content
    request.inputs["x"].ClearField("tensor_content")
    request.inputs["x"].float_val.extend([1, 2])
    assert list(prediction.Predict(request, timeout=20).outputs["y"].float_val) == [2, 4]


def test_the_default_signature_is_generate(prediction: Any) -> None:
    import numpy as np

    request = predict_request(
        "",
        prompt=np.array([b"a", b"b\x00c"], object),
        max_new_tokens=np.array([2], np.int32),
        temperature=np.array([1], np.float32),
        top_k=np.array([0], np.int32),
        top_p=np.array([1], np.float32),
        seed=np.array([7, 8], np.int64),
    )
    response = prediction.Predict(request, timeout=20)
    assert list(response.outputs["text"].string_val) == [b"first|7|a", b"first|8|b\x00c"]
    assert list(response.outputs["num_tokens"].int_val) == [2, 2]
    assert response.model_spec.signature_name == "serving_default"


def test_the_output_filter_chooses(prediction: Any) -> None:
    request = predict_request(x=matrix((1, 2)))
    request.output_filter.append("z")
    assert list(prediction.Predict(request, timeout=20).outputs) == ["z"]


def test_large_messages_pass(server: Any) -> None:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    rows = 1_000_000  # 8 MB, twice gRPC's own limit
    lifted = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.address, options=lifted) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(x=matrix((1, 2)).repeat(rows, 0))
        response = stub.Predict(request, timeout=20)
    assert len(response.outputs["y"].float_val) == 2 * rows


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda r: r.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            lambda r: r.model_spec.ClearField("name"),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            lambda r: setattr(r.model_spec, "name", "nope"),
            "NOT_FOUND",
            "Servable not found for request: Latest(nope)",
        ),
        (
            lambda r: setattr(r.model_spec.version, "value", 77),
            "NOT_FOUND",
            "Servable not found for request: Specific(text, 77)",
        ),
        (
            lambda r: setattr(r.model_spec, "version_label", "stable"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: stable",
        ),
        (
            lambda r: setattr(r.model_spec, "signature_name", "nope"),
            "FAILED_PRECONDITION",
            'Serving signature key "nope" not found.',
        ),
        (
            lambda r: r.ClearField("inputs"),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). "
            "Sent extra: {}. Missing but required: {x}.",
        ),
        (
            lambda r: r.inputs["w"].CopyFrom(r.inputs["x"]),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({w,x}) != len({x}). "
            "Sent extra: {w}. Missing but required: {}.",
        ),
        (
            lambda r: (r.inputs["w"].CopyFrom(r.inputs["x"]), r.inputs.pop("x")),
            "INVALID_ARGUMENT",
            "Signature input alias: x(feed name: double_x:0) not found in request and no default "
            "value provided. Inputs expected to be in the request {w}, or default input alias "
            "set: ",
        ),
        (
            lambda r: setattr(r.inputs["x"], "tensor_content", b"short"),
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            lambda r: r.inputs["x"].tensor_shape.dim.add(size=2**40),
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            lambda r: (
                r.inputs["x"].ClearField("tensor_content"),
                setattr(r.inputs["x"].tensor_shape.dim[0], "size", 2**62),
            ),
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            lambda r: setattr(r.inputs["x"].tensor_shape.dim[0], "size", -1),
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            lambda r: setattr(r.model_spec, "signature_name", "__saved_model_init_op"),
            "INTERNAL",
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. Was: ",
        ),
        (
            lambda r: setattr(r.inputs["x"], "dtype", 0),
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            lambda r: setattr(r.inputs["x"], "dtype", 3),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided (input x)",
        ),
        (
            lambda r: r.inputs["x"].tensor_shape.dim.add(size=1),
            "INVALID_ARGUMENT",
            "expected input x of shape [?,2]. Received: shape [1,2,1]",
        ),
        (
            lambda r: r.output_filter.append("w"),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: w "
            "Outputs expected to be in the set {y,z}.",
        ),
        (
            lambda r: r.output_filter.extend(["y", "y"]),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
    ],
)
def test_predict_refuses_with_the_codes_and_words_of_tensorflow_serving(
    prediction: Any, change: Any, code: str, message: str
) -> None:
    request = predict_request(x=matrix((1, 2)))
    change(request)
    assert refusal(prediction.Predict, request) == (grpc.StatusCode[code], message)


def test_metadata_packs_a_signature_def_map(prediction: Any) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2 as messages

    request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "text"
    response = prediction.GetModelMetadata(request, timeout=20)
    definitions = messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    assert "serving_default" in definitions.signature_def
    assert set(definitions.signature_def["double"].outputs) == {"y", "z"}
    assert response.model_spec.version.value == 3


def test_metadata_refusals(prediction: Any) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2 as messages

    request = messages.GetModelMetadataRequest()
    request.model_spec.name = "text"
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert refusal(prediction.GetModelMetadata, request) == (
        invalid,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    request.metadata_field.append("weather")
    assert refusal(prediction.GetModelMetadata, request) == (
        invalid,
        "Metadata field weather is not supported",
    )


def test_status_of_a_known_and_of_unknown_versions(models: Any) -> None:
    from tensorflow_serving.apis import get_model_status_pb2 as messages

    request = messages.GetModelStatusRequest()
    missing = (grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    assert refusal(models.GetModelStatus, request) == missing
    request.model_spec.name = "text"
    (entry,) = models.GetModelStatus(request, timeout=20).model_version_status
    assert (entry.version, entry.state) == (3, messages.ModelVersionStatus.AVAILABLE)
    assert entry.status.error_code == 0

    request.model_spec.version.value = 4
    unknown = (grpc.StatusCode.NOT_FOUND, "Could not find version 4 of model text")
    assert refusal(models.GetModelStatus, request) == unknown
    request.model_spec.Clear()
    request.model_spec.name = "nope"
    unknown = (grpc.StatusCode.NOT_FOUND, "Could not find any versions of model nope")
    assert refusal(models.GetModelStatus, request) == unknown


def test_calls_over_examples_refuse_a_model_that_is_not_made_for_them(prediction: Any) -> None:
    from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

    missing = (grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    unnamed = (grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    classification = classification_pb2.ClassificationRequest()
    regression = regression_pb2.RegressionRequest()
    multi = inference_pb2.MultiInferenceRequest()
    assert refusal(prediction.Classify, classification) == missing
    assert refusal(prediction.Regress, regression) == missing
    assert refusal(prediction.MultiInference, multi) == unnamed

    was = "Was: tensorflow/serving/predict"
    classification.model_spec.name = regression.model_spec.name = "text"
    assert refusal(prediction.Classify, classification) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected classification signature method_name to be tensorflow/serving/classify. " + was,
    )
    assert refusal(prediction.Regress, regression) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected regression signature method_name to be tensorflow/serving/regress. " + was,
    )
    task = multi.tasks.add(method_name="tensorflow/serving/predict")
    task.model_spec.name = "text"
    assert refusal(prediction.MultiInference, multi) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    )


def test_xla_is_off_unless_asked_for_so_a_compiled_model_fails(prediction: Any) -> None:
    import numpy as np

    request = predict_request("compiled", x=np.array([1], np.float32))
    _, message = refusal(prediction.Predict, request)
    assert "XLA" in message
    assert "\n" not in message


def test_a_long_text_is_cut(prediction: Any) -> None:
    code, message = refusal(prediction.Predict, predict_request("n" * 5000, x=matrix((1, 2))))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    whole = f'Serving signature key "{"n" * 5000}" not found.'
    assert message == whole[:1024] + "...TRUNCATED"


def test_a_reload_ends_with_its_callers_deadline() -> None:
    from serving.server.errors import deadline_exceeded
    from serving.server.services import ModelService

    class Calls:
        def status(self, request: Any) -> Any:
            raise NotImplementedError

        def reload(self, request: Any, deadline: float | None = None) -> Any:
            told.append(None if deadline is None else deadline - time.monotonic())
            raise deadline_exceeded()

    class Context:
        def time_remaining(self) -> float:
            return 5.0

        def abort(self, code: grpc.StatusCode, details: str) -> None:
            told.append(code)

    told: list[Any] = []
    ModelService(Calls()).HandleReloadConfigRequest(None, Context())
    assert 4 < told[0] <= 5
    assert told[1] == grpc.StatusCode.DEADLINE_EXCEEDED
