"""The gateway's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from serving.gateway.store_metrics import StoreMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MODEL = ("model", "version", "arm")


class GatewayMetrics:
    """Counts per model, version and arm; labels hold known names only, never a caller's words.

    Args:
        store: what the store tells, shown on the same page.
    """

    def __init__(self, store: StoreMetrics | None = None) -> None:
        self._registry = CollectorRegistry()
        self._known: dict[tuple[Any, ...], Any] = {}
        ProcessCollector(registry=self._registry)
        if store is not None:
            self._registry.register(store)
        self._latency = Histogram(
            "loomline_gateway_request_seconds",
            "Time from a request to the end of its answer.",
            ("call", *_MODEL),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._first = Histogram(
            "loomline_gateway_first_token_seconds",
            "Time from a request to the first token of its stream.",
            _MODEL,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "loomline_gateway_tokens", "New tokens.", _MODEL, registry=self._registry
        )
        self._calls = Counter(
            "loomline_gateway_calls",
            "Calls of models, by gRPC status.",
            ("call", *_MODEL, "code"),
            registry=self._registry,
        )
        self._http = Counter(
            "loomline_gateway_http_requests",
            "HTTP replies.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "loomline_gateway_in_flight", "Calls of models under way.", registry=self._registry
        )
        self.in_flight_limit = Gauge(
            "loomline_gateway_in_flight_limit",
            "Calls of models that may be under way.",
            registry=self._registry,
        )
        self.feedback = Counter(
            "loomline_gateway_feedback",
            "Feedback that was stored, and that could not be.",
            ("kind", "stored"),
            registry=self._registry,
        )
        self.queue = Gauge(
            "loomline_gateway_recorder_queue",
            "Records that wait for the database.",
            registry=self._registry,
        )
        self.queue_limit = Gauge(
            "loomline_gateway_recorder_queue_limit",
            "Records that may wait for the database.",
            registry=self._registry,
        )
        self.dropped = Counter(
            "loomline_gateway_recorder_dropped",
            "Records that were given up.",
            ("reason",),
            registry=self._registry,
        )
        self.written = Counter(
            "loomline_gateway_recorder_written", "Records in the database.", registry=self._registry
        )
        self.store_up = Gauge(
            "loomline_gateway_store_up",
            "1 if the database took what was written last.",
            registry=self._registry,
        )
        self.share = Gauge(
            "loomline_gateway_rollout_share",
            "Share of requests that go to the canary.",
            ("model",),
            registry=self._registry,
        )
        self.available = Gauge(
            "loomline_gateway_model_available_versions",
            "Versions of a model that the model server says are available; 0 if it is away.",
            ("model",),
            registry=self._registry,
        )
        self.version = Gauge(
            "loomline_gateway_model_version",
            "Number of the newest available version; 0 without one.",
            ("model",),
            registry=self._registry,
        )
        for reason in ("full", "refused", "shutdown"):
            self.dropped.labels(reason)

    def _child(self, metric: Any, *labels: str) -> Any:
        """`metric.labels(...)` without the cost of finding it again."""
        key = (metric, *labels)
        child = self._known.get(key)
        if child is None:
            child = self._known[key] = metric.labels(*labels)
        return child

    def call(
        self,
        call: str,
        model: str,
        version: int | None,
        arm: str,
        code: str,
        seconds: float,
        tokens: int,
        first_token_seconds: float | None,
    ) -> None:
        """A call of a model has ended.

        Args:
            call: 'generate', 'stream', 'score' or 'predict'.
            model: a name of the settings.
            version: that answered, if any did.
            arm: of a rollout, or ''.
            code: gRPC status, 'OK' for success.
            seconds: that it took.
            tokens: new ones.
            first_token_seconds: of a stream.
        """
        labels = (model, "" if version is None else str(version), arm)
        self._child(self._calls, call, *labels, code).inc()
        self._child(self._latency, call, *labels).observe(seconds)
        if tokens:
            self._child(self._tokens, *labels).inc(tokens)
        if first_token_seconds is not None:
            self._child(self._first, *labels).observe(first_token_seconds)

    def http(self, route: str, method: str, status: int) -> None:
        """An HTTP reply has been sent; `route` is a template, never a path of a caller."""
        self._child(self._http, route, method, str(status)).inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)
