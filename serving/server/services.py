"""The gRPC services: thin adapters from the wire to the calls over messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server.errors import StatusError, unexpected
from serving.server.inference import Inference
from serving.server.parsing import add_handlers, parsed, serialized

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_LONGEST_SECONDS = 30 * 86400.0
# TensorFlow Serving's kErrorMessageLimit.
_LONGEST_TEXT = 1024
_PREDICTION_REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
}
_MODEL_REQUESTS = {
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}


class ModelCalls(Protocol):
    """The calls of ModelService over messages; both raise StatusError."""

    def status(self, request: Any) -> Any:
        """Answers a GetModelStatusRequest."""

    def reload(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a ReloadConfigRequest; by this monotonic time the caller no longer waits."""


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(self._inference.predict, request, context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(self._inference.classify, request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(self._inference.regress, request, context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(self._inference.multi_inference, request, context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(self._inference.metadata, request, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(lambda message, _: self._calls.status(message), request, context)

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        return _answer(self._calls.reload, request, context)


def add_services(server: grpc.Server, inference: Inference, calls: ModelCalls) -> None:
    """Lets a gRPC server, not started yet, answer with these calls."""
    _add(server, PREDICTION_SERVICE, PredictionService(inference), _PREDICTION_REQUESTS)
    _add(server, MODEL_SERVICE, ModelService(calls), _MODEL_REQUESTS)


def _add(server: grpc.Server, service: str, servicer: Any, requests: dict[str, Any]) -> None:
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            parsed(getattr(servicer, name), kind), response_serializer=serialized
        )
        for name, kind in requests.items()
    }
    add_handlers(server, service, handlers)


def _answer(
    call: Callable[[Any, float | None], Any], request: Any, context: grpc.ServicerContext
) -> Any:
    """Answers within the caller's deadline, or ends the call with a clean status."""
    remaining = context.time_remaining()
    # Without a deadline gRPC gives one beyond what any wait can express.
    bounded = remaining is not None and remaining < _LONGEST_SECONDS
    deadline = time.monotonic() + remaining if bounded else None
    try:
        return call(request, deadline)
    except StatusError as error:
        context.abort(error.code, _short(error.message))
    except Exception as error:
        failure = unexpected(error)
        context.abort(failure.code, failure.message)


def _short(text: str) -> str:
    """TensorFlow Serving cuts texts, since gRPC carries them in a header of limited size."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}...TRUNCATED"
