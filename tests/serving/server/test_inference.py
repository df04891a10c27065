"""The calls over messages: what they answer, refuse, and tell the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest


class Metrics:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, str]] = []
        self.seconds: list[float] = []

    def request(self, method: str, model: str, signature: str, code: str, seconds: float) -> None:
        self.calls.append((method, model, signature, code))
        self.seconds.append(seconds)


@pytest.fixture(scope="module")
def models(
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    from tensorflow_serving.config import model_server_config_pb2

    from serving.server.models import ModelManager

    base_path = tmp_path_factory.mktemp("inference") / "text"
    publish(saved_models["first"], base_path, 5)
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name="text", base_path=str(base_path), model_platform="tensorflow"
    )
    manager = ModelManager()
    manager.configure(config)
    manager.start()
    manager.wait_for({"text"}, 60)
    yield manager
    manager.stop()
    manager.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def inference(models: Any, metrics: Metrics) -> Any:
    from serving.server.inference import Inference

    return Inference(models, metrics=metrics)


def score(text: bytes = b"four", **spec: Any) -> Any:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.get("name", "text")
    request.model_spec.signature_name = spec.get("signature_name", "score")
    request.inputs["text"].dtype = 7
    request.inputs["text"].tensor_shape.dim.add(size=1)
    request.inputs["text"].string_val.append(text)
    return request


def refusal(call: Callable[..., Any], *arguments: Any) -> grpc.StatusCode:
    from serving.server.errors import StatusError

    with pytest.raises(StatusError) as raised:
        call(*arguments)
    return raised.value.code


def test_predict_names_model_version_and_signature(inference: Any) -> None:
    response = inference.predict(score())
    assert response.model_spec.name == "text"
    assert response.model_spec.version.value == 5
    assert response.model_spec.signature_name == "score"
    assert not response.model_spec.version_label
    assert list(response.outputs["num_tokens"].int_val) == [5]


def test_every_call_is_told_to_the_metrics_with_its_code(inference: Any, metrics: Metrics) -> None:
    from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2

    inference.predict(score())
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "text"
    inference.metadata(metadata)
    classification = classification_pb2.ClassificationRequest()
    classification.model_spec.name = "text"
    refusal(inference.classify, classification)
    assert metrics.calls == [
        ("Predict", "text", "score", "OK"),
        ("GetModelMetadata", "text", "", "OK"),
        ("Classify", "text", "serving_default", "INVALID_ARGUMENT"),
    ]
    assert all(0 < seconds < 30 for seconds in metrics.seconds)


def test_names_that_callers_make_up_never_become_labels(inference: Any, metrics: Metrics) -> None:
    refusal(inference.predict, score(name="made-up"))
    refusal(inference.predict, score(signature_name="made-up"))
    assert metrics.calls == [
        ("Predict", "", "", "NOT_FOUND"),
        ("Predict", "text", "", "FAILED_PRECONDITION"),
    ]


def test_a_request_whose_deadline_has_passed_is_not_started(
    inference: Any, metrics: Metrics
) -> None:
    # It would be refused as NOT_FOUND if anybody looked at it.
    past = time.monotonic() - 0.001
    code = refusal(inference.predict, score(name="made-up"), past)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert metrics.calls == [("Predict", "", "", "DEADLINE_EXCEEDED")]
    assert inference.predict(score(), time.monotonic() + 60).outputs


def test_a_defect_of_ours_is_internal_and_logged_but_not_shown(
    models: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from serving.server.errors import StatusError
    from serving.server.inference import Inference

    class Broken:
        def run(self, *_: Any) -> Any:
            raise RuntimeError("the secret of the house")

    broken: Any = Broken()
    with pytest.raises(StatusError) as raised:
        Inference(models, batcher=broken).predict(score())
    assert raised.value.code == grpc.StatusCode.INTERNAL
    assert "secret" not in raised.value.message
    assert "the secret of the house" in caplog.text


def test_only_signatures_whose_rows_are_free_can_be_batched(models: Any) -> None:
    with models.use("text") as (_, model):
        assert model.signatures["generate"].batchable
        assert not model.signatures["slow"].batchable  # its output is a scalar


def test_the_quick_way_to_call_is_taken_and_agrees_with_the_public_one(models: Any) -> None:
    """Without it a small model costs twice as much; TensorFlow may change what it relies on."""
    import numpy as np
    import tensorflow as tf

    x = np.array([[1.5, -2.0]], np.float32)
    with models.use("text") as (_, model):
        signature = model.signatures["double"]
        assert signature.is_quick
        outputs = signature.compute({"x": x})
        public = model._owner.signatures["double"](x=tf.constant(x))
    assert set(outputs) == set(public)
    for name, value in public.items():
        np.testing.assert_array_equal(outputs[name], value.numpy())
