"""The gRPC services: thin adapters from the wire to the calls over messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.server.errors import StatusError, unexpected
from serving.server.inference import Inference

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_LONGEST_SECONDS = 30 * 86400.0


class ModelCalls(Protocol):
    """The calls of ModelService over messages; both raise StatusError."""

    def status(self, request: Any) -> Any:
        """Answers a GetModelStatusRequest."""

    def reload(self, request: Any) -> Any:
        """Answers a ReloadConfigRequest."""


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
        return _answer(lambda message, _: self._calls.reload(message), request, context)


def add_services(server: grpc.Server, inference: Inference, calls: ModelCalls) -> None:
    """Lets a gRPC server, not started yet, answer with these calls."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(inference), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(calls), server)


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
        context.abort(error.code, error.message)
    except Exception as error:
        failure = unexpected(error)
        context.abort(failure.code, failure.message)
