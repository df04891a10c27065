"""A tool that knows nothing of TensorFlow Serving learns its services from the server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest


@pytest.fixture(scope="module")
def pool(server: Any) -> Any:
    """What a reflection client learns from a real server alone."""
    from google.protobuf import descriptor_pool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with grpc.insecure_channel(server.address) as channel:
        yield descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def test_the_services_are_listed(server: Any) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with grpc.insecure_channel(server.address) as channel:
        assert set(ProtoReflectionDescriptorDatabase(channel).get_services()) == {
            "tensorflow.serving.PredictionService",
            "tensorflow.serving.ModelService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


def test_every_listed_service_can_be_described(pool: Any) -> None:
    calls = {
        name: {method.name for method in pool.FindServiceByName(name).methods}
        for name in (
            "tensorflow.serving.PredictionService",
            "tensorflow.serving.ModelService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        )
    }
    assert calls["tensorflow.serving.PredictionService"] == {
        "Classify",
        "Regress",
        "Predict",
        "MultiInference",
        "GetModelMetadata",
    }
    assert calls["tensorflow.serving.ModelService"] == {
        "GetModelStatus",
        "HandleReloadConfigRequest",
    }
    assert "Check" in calls["grpc.health.v1.Health"]


def test_messages_built_from_reflection_get_an_answer(server: Any, pool: Any) -> None:
    from google.protobuf import message_factory

    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    method = service.FindMethodByName("Predict")
    request_type = message_factory.GetMessageClass(method.input_type)
    response_type = message_factory.GetMessageClass(method.output_type)
    request = request_type()
    request.model_spec.name, request.model_spec.signature_name = "text", "score"
    request.inputs["text"].dtype = 7
    request.inputs["text"].tensor_shape.dim.add(size=1)
    request.inputs["text"].string_val.append(b"four")
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        response = call(request, timeout=20)
    assert list(response.outputs["num_tokens"].int_val) == [5]


def test_a_stranger_of_a_name_is_not_found(pool: Any) -> None:
    with pytest.raises(KeyError):
        pool.FindServiceByName("tensorflow.serving.Nothing")
