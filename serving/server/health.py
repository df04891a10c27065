"""gRPC health: serving only while every configured model has an available version."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from serving.server.parsing import add_handlers, parsed, serialized
from serving.server.services import MODEL_SERVICE, PREDICTION_SERVICE

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The state that `grpc.health.v1.Health` reports for the server and both its services."""

    def __init__(self) -> None:
        """It reports NOT_SERVING until every configured model is known to be available."""
        self._lock = threading.Lock()
        self._available: dict[str, bool] = {}
        self._stopped = False
        # Probes have a thread of their own: a server whose request threads are all busy is busy,
        # not dead, and must not be restarted for it.
        self._probes = futures.ThreadPoolExecutor(1, thread_name_prefix="health")
        self._servicer = _servicer(self._probes)
        self._publish()

    def set_model(self, name: str, available: bool) -> None:
        """Tells whether a configured model has an AVAILABLE version.

        Call it with False for every model of the configuration before the server starts.
        """
        with self._lock:
            self._available[name] = available
            self._publish()

    def remove_model(self, name: str) -> None:
        """Forgets a model that is no longer configured."""
        with self._lock:
            self._available.pop(name, None)
            self._publish()

    def stop(self) -> None:
        """Turns to NOT_SERVING for good; calls are still answered."""
        with self._lock:
            self._stopped = True
            self._publish()

    def add_to(self, server: grpc.Server) -> None:
        """Lets a gRPC server, not started yet, answer health checks."""
        request = health_pb2.HealthCheckRequest
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(
                parsed(self._servicer.Check, request), response_serializer=serialized
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                parsed(self._servicer.Watch, request), response_serializer=serialized
            ),
        }
        add_handlers(server, health.SERVICE_NAME, handlers)

    def _publish(self) -> None:
        ready = bool(self._available) and all(self._available.values()) and not self._stopped
        state = _SERVING if ready else _NOT_SERVING
        for service in (health.OVERALL_HEALTH, PREDICTION_SERVICE, MODEL_SERVICE):
            self._servicer.set(service, state)


def _servicer(probes: futures.ThreadPoolExecutor) -> Any:
    """gRPC's own servicer, with both its calls on a pool of their own."""
    servicer: Any = health.HealthServicer(
        experimental_non_blocking=True, experimental_thread_pool=probes
    )
    answer = servicer.Check

    def check(request: Any, context: grpc.ServicerContext) -> Any:
        return answer(request, context)

    check.experimental_thread_pool = probes  # type: ignore[attr-defined]
    servicer.Check = check
    return servicer
