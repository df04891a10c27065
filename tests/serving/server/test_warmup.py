"""Requests that a model brings along are replayed, each kind of them, and a bad file fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.server.errors import StatusError
from serving.server.loading import load


def tf_example(value: float) -> Any:
    import tensorflow as tf

    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(value)
    return example


def input_of(value: float) -> Any:
    from tensorflow_serving.apis import input_pb2

    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=[tf_example(value)]))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that counts its calls by kind, with signatures for all of them."""
    import tensorflow as tf

    class Counting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable([0, 0, 0], dtype=tf.int32)

        def count(self, kind: int) -> Any:
            return self.calls.scatter_add(tf.IndexedSlices([1], [kind]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def predict(self, x: Any) -> Any:
            with tf.control_dependencies([self.count(0)]):
                return {"y": x + 1, "calls": self.calls.read_value()}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def classify(self, inputs: Any) -> Any:
            feature = tf.io.FixedLenFeature([], tf.float32)
            x = tf.io.parse_example(inputs, {"x": feature})["x"]
            with tf.control_dependencies([self.count(1), tf.debugging.assert_greater(x, 0.0)]):
                return {"scores": tf.stack([x, 1 - x], axis=1)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def regress(self, inputs: Any) -> Any:
            feature = tf.io.FixedLenFeature([], tf.float32)
            x = tf.io.parse_example(inputs, {"x": feature})["x"]
            with tf.control_dependencies([self.count(2), tf.debugging.assert_greater(x, 0.0)]):
                return {"outputs": x * 2}

    model = Counting()
    path = tmp_path_factory.mktemp("counting") / "1"
    names = {"serving_default": model.predict, "classify": model.classify, "regress": model.regress}
    tf.saved_model.save(model, str(path), signatures=names)
    set_methods(path)
    return path


def set_methods(path: Path) -> None:
    """Names the methods that Keras exports no longer name; classify and regress need them."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        for kind in ("classify", "regress"):
            graph.signature_def[kind].method_name = f"tensorflow/serving/{kind}"
    file.write_bytes(saved.SerializeToString())


def predict_log(signature: str = "") -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log)


def classify_log(value: float = 0.5) -> Any:
    from tensorflow_serving.apis import classification_pb2, prediction_log_pb2

    request = classification_pb2.ClassificationRequest(input=input_of(value))
    request.model_spec.signature_name = "classify"
    log = prediction_log_pb2.ClassifyLog(request=request)
    return prediction_log_pb2.PredictionLog(classify_log=log)


def regress_log(value: float = 0.5) -> Any:
    from tensorflow_serving.apis import prediction_log_pb2, regression_pb2

    request = regression_pb2.RegressionRequest(input=input_of(value))
    request.model_spec.signature_name = "regress"
    log = prediction_log_pb2.RegressLog(request=request)
    return prediction_log_pb2.PredictionLog(regress_log=log)


def multi_inference_log() -> Any:
    from tensorflow_serving.apis import inference_pb2, prediction_log_pb2

    request = inference_pb2.MultiInferenceRequest(input=input_of(0.5))
    task = request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.signature_name = "regress"
    task.model_spec.name = "counting"
    log = prediction_log_pb2.MultiInferenceLog(request=request)
    return prediction_log_pb2.PredictionLog(multi_inference_log=log)


@pytest.fixture
def with_warmup(exported: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the model with these records to replay."""

    def with_warmup(*records: bytes) -> Path:
        import tensorflow as tf

        path = tmp_path / "model"
        shutil.copytree(exported, path)
        (path / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(warmup_file(path))) as writer:
            for record in records:
                writer.write(record)
        return path

    return with_warmup


def warmup_file(path: Path) -> Path:
    return path / "assets.extra" / "tf_serving_warmup_requests"


def calls(model: Any) -> list[int]:
    _, outputs = model.predict(predict_log().predict_log.request)
    return list(outputs["calls"].int_val)


def failure(path: Path) -> tuple[str, str]:
    with pytest.raises(StatusError) as failed:
        load(path, warmup_iterations=1)
    return failed.value.code.name, failed.value.message


def test_every_kind_of_request_is_replayed(with_warmup: Callable[..., Path]) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    nothing = prediction_log_pb2.PredictionLog()
    logs = [predict_log(), classify_log(), regress_log(), multi_inference_log(), nothing]
    path = with_warmup(*[log.SerializeToString() for log in logs])
    model, count = load(path, warmup_iterations=1)
    assert count == len(logs)
    assert calls(model) == [2, 1, 2]  # one of the first by `calls` itself


@pytest.mark.parametrize(("iterations", "replayed"), [(3, 3), (0, 0)])
def test_requests_are_replayed_as_often_as_asked(
    with_warmup: Callable[..., Path], iterations: int, replayed: int
) -> None:
    model, _ = load(with_warmup(regress_log().SerializeToString()), warmup_iterations=iterations)
    assert calls(model) == [1, 0, replayed]


@pytest.mark.parametrize(
    ("log", "code", "reason"),
    [
        (lambda: predict_log("absent"), "FAILED_PRECONDITION", 'key "absent" not found'),
        (lambda: classify_log(-1.0), "INVALID_ARGUMENT", ""),
        (lambda: regress_log(-1.0), "INVALID_ARGUMENT", ""),
    ],
)
def test_a_request_that_the_model_refuses_fails_the_load(
    with_warmup: Callable[..., Path], log: Callable[[], Any], code: str, reason: str
) -> None:
    received, message = failure(with_warmup(log().SerializeToString()))
    assert received == code
    assert message.startswith("warmup request failed: ")
    assert reason in message


def test_a_recorded_session_run_is_not_supported(with_warmup: Callable[..., Path]) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog(session_run_log={})
    code, message = failure(with_warmup(log.SerializeToString()))
    assert code == "UNIMPLEMENTED"
    assert "Unsupported log_type for warmup: session_run_log" in message


def test_what_is_no_prediction_log_fails_the_load(with_warmup: Callable[..., Path]) -> None:
    code, message = failure(with_warmup(b"\xff\xff\xff"))
    assert code == "INVALID_ARGUMENT"
    assert "Failed to parse warmup record" in message


def test_a_damaged_file_fails_the_load(with_warmup: Callable[..., Path]) -> None:
    path = with_warmup(predict_log().SerializeToString())
    warmup_file(path).write_bytes(warmup_file(path).read_bytes()[:-3] + b"xyz")
    code, message = failure(path)
    assert code == "DATA_LOSS"
    assert message.endswith("Please verify your warmup data is in TFRecord format.")


def test_more_than_1000_records_fail_the_load(with_warmup: Callable[..., Path]) -> None:
    code, message = failure(with_warmup(*[b""] * 1001))
    assert code == "INVALID_ARGUMENT"
    assert "Number of warmup records exceeds the maximum (1000)" in message


def test_1000_records_are_taken(exported: Path, with_warmup: Callable[..., Path]) -> None:
    _, count = load(with_warmup(*[b""] * 1000), warmup_iterations=1)
    assert count == 1000
    assert load(exported, warmup_iterations=1)[1] == 0
