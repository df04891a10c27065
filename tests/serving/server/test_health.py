"""Health says SERVING only while every configured model answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def check(address: str, service: str = "") -> str:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        status = stub.Check(request, timeout=10).status
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


@pytest.fixture
def served() -> Iterator[tuple[Any, str]]:
    """Health behind a gRPC server whose only request thread is busy for good."""
    from serving.server.health import Health

    health = Health()
    busy = threading.Event()
    pool = futures.ThreadPoolExecutor(1)
    pool.submit(busy.wait, 60)
    server = grpc.server(pool)
    health.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield health, f"127.0.0.1:{port}"
    busy.set()
    server.stop(None).wait()


def test_it_serves_once_every_configured_model_is_available(served: tuple[Any, str]) -> None:
    health, address = served
    assert check(address) == "NOT_SERVING"
    for name in ("text", "image"):
        health.set_model(name, False)
    health.set_model("text", True)
    assert check(address) == "NOT_SERVING"
    health.set_model("image", True)
    assert [check(address, service) for service in SERVICES] == ["SERVING"] * 3
    health.set_model("text", False)
    assert check(address) == "NOT_SERVING"
    health.remove_model("text")
    assert check(address) == "SERVING"


def test_it_never_serves_again_once_stopped(served: tuple[Any, str]) -> None:
    health, address = served
    health.set_model("text", True)
    health.stop()
    health.set_model("image", True)
    assert [check(address, service) for service in SERVICES] == ["NOT_SERVING"] * 3


def test_an_unknown_service_is_not_found(served: tuple[Any, str]) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        check(served[1], "nope")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_watchers_are_told_of_changes(served: tuple[Any, str]) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    health, address = served
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        health.set_model("text", True)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def test_a_server_is_healthy_with_its_first_version_and_not_while_it_stops(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
    predict: Callable[..., Any],
) -> None:
    base_path = tmp_path / "text"
    running = start_server(base_path)
    assert [check(running.address, service) for service in SERVICES] == ["NOT_SERVING"] * 3
    publish(saved_models["first"], base_path, 1)
    end = time.monotonic() + 60
    while check(running.address) != "SERVING":
        assert time.monotonic() < end
        time.sleep(0.05)

    from grpc_health.v1 import health_pb2, health_pb2_grpc

    seconds = {"dtype": 2, "tensor_shape": {"dim": [{"size": 1}]}, "double_val": [3.0]}
    with (
        grpc.insecure_channel(running.address) as channel,
        futures.ThreadPoolExecutor(2) as pool,
    ):
        request = health_pb2.HealthCheckRequest()
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        under_way = pool.submit(predict, running.address, "slow", seconds=seconds)
        time.sleep(1)
        stopping = pool.submit(running.stop)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not under_way.done()
        watch.cancel()
        assert list(under_way.result().outputs["done"].bool_val) == [True]
        assert stopping.result() == 0
