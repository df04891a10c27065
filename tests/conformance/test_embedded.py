"""What the embedded server has and TensorFlow Serving's image has not, or only by a flag."""

from __future__ import annotations

import shutil
import time

import grpc
import pytest

pytestmark = pytest.mark.embedded_only

SERVICES = {
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture
def health(calls):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(calls.channel)

    def health(service: str) -> str:
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

    return health


def test_health_is_serving_while_the_models_are_available(health, half):
    """The gRPC health protocol; in the image: --enable_grpc_healthcheck_service."""
    assert health("") == "SERVING"
    assert health("tensorflow.serving.PredictionService") == "SERVING"


def test_health_of_an_unknown_service_is_not_found(calls, health, half):
    """The gRPC health protocol: NOT_FOUND for a name that the server does not know."""
    assert calls.refusal(health, "nope.Service")[0] == "NOT_FOUND"


def test_reflection_lists_the_services(calls, half):
    """The gRPC reflection protocol, so that grpcurl needs no .proto files."""
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    stub = reflection_pb2_grpc.ServerReflectionStub(calls.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (reply,) = stub.ServerReflectionInfo(iter([request]), timeout=60)
    names = {service.name for service in reply.list_services_response.service}
    assert names >= SERVICES


def test_reflection_describes_a_service(calls, half):
    """The gRPC reflection protocol: the file that declares a symbol."""
    from google.protobuf import descriptor_pb2
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    stub = reflection_pb2_grpc.ServerReflectionStub(calls.channel)
    symbol = "tensorflow.serving.PredictionService"
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    (reply,) = stub.ServerReflectionInfo(iter([request]), timeout=60)
    raw = reply.file_descriptor_response.file_descriptor_proto
    files = [descriptor_pb2.FileDescriptorProto.FromString(one) for one in raw]
    services = [service for one in files for service in one.service]
    methods = {method.name for service in services for method in service.method}
    assert methods == {"Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"}


def test_a_folder_without_a_saved_model_is_not_a_version_yet(calls, serve, until):
    """Ours: an upload to an object store writes saved_model.pb last, and is no version before."""
    base_path = serve({1: "half_plus_two"})
    shutil.copytree(base_path / "1", base_path / ".2")
    pb = (base_path / ".2" / "saved_model.pb").rename(base_path / ".pb")
    (base_path / ".2").rename(base_path / "2")
    time.sleep(1)  # ten looks at the base path
    assert calls.states(base_path.name) == {1: "AVAILABLE"}
    pb.rename(base_path / "2" / "saved_model.pb")
    until(lambda: calls.states(base_path.name) == {2: "AVAILABLE", 1: "END"})


def test_a_request_whose_deadline_has_passed_is_not_run(calls, half):
    """Ours: the caller has stopped waiting, so nothing is started for it."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest(model_spec=calls.spec(half))
    with pytest.raises(grpc.RpcError) as caught:
        calls.predictions.Predict(request, timeout=0)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
