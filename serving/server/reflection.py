"""gRPC server reflection, so that `grpcurl HOST:PORT list` and `describe` work without files."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.parsing import add_handlers, parsed_stream, serialized
from serving.server.services import MODEL_SERVICE, PREDICTION_SERVICE

# Request and response of every call. The modules that tensorflow-serving-api generated for its
# services do not import under protobuf 6, so their descriptors are built here.
_PREDICTION_CALLS = {
    "Classify": (
        classification_pb2.ClassificationRequest,
        classification_pb2.ClassificationResponse,
    ),
    "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
}
_MODEL_CALLS = {
    "GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
    ),
    "HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest,
        model_management_pb2.ReloadConfigResponse,
    ),
}


def add_reflection(server: grpc.Server) -> None:
    """Lets a gRPC server, not started yet, describe its services and their messages."""
    names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.ReflectionServicer(names, pool=_pool())
    call = parsed_stream(servicer.ServerReflectionInfo, reflection_pb2.ServerReflectionRequest)
    handler = grpc.stream_stream_rpc_method_handler(call, response_serializer=serialized)
    add_handlers(server, reflection.SERVICE_NAME, {"ServerReflectionInfo": handler})


def _pool() -> descriptor_pool.DescriptorPool:
    """Every file that the services need, apart from the process's own pool.

    Adding the service files to that one would fail wherever another library brings them along.
    """
    pool = descriptor_pool.DescriptorPool()
    _copy(health_pb2.DESCRIPTOR, pool)
    own = descriptor_pool.Default()
    _copy(own.FindFileContainingSymbol(reflection.SERVICE_NAME), pool)
    for service, file, calls in (
        (PREDICTION_SERVICE, "prediction_service", _PREDICTION_CALLS),
        (MODEL_SERVICE, "model_service", _MODEL_CALLS),
    ):
        description = _service(service, f"tensorflow_serving/apis/{file}.proto", calls)
        for messages in calls.values():
            for message in messages:
                _copy(message.DESCRIPTOR.file, pool)
        pool.Add(description)
    return pool


def _service(full_name: str, file: str, calls: dict[str, tuple[Any, Any]]) -> Any:
    """The file that defines one service."""
    package, _, name = full_name.rpartition(".")
    description = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    service = description.service.add(name=name)
    files = set()
    for call, (request, response) in calls.items():
        service.method.add(
            name=call,
            input_type=f".{request.DESCRIPTOR.full_name}",
            output_type=f".{response.DESCRIPTOR.full_name}",
        )
        files |= {request.DESCRIPTOR.file.name, response.DESCRIPTOR.file.name}
    description.dependency.extend(sorted(files))
    return description


def _copy(file: Any, pool: descriptor_pool.DescriptorPool) -> None:
    """Adds a file to the pool, after the files that it imports."""
    for dependency in file.dependencies:
        _copy(dependency, pool)
    # The pool takes the same file twice.
    pool.AddSerializedFile(file.serialized_pb)
