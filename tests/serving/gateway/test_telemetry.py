"""Trace context in and out, and spans that reach a collector, here a small HTTP server."""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.gateway.telemetry import Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Any]:
    """Takes OTLP over HTTP and keeps the spans."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.spans = spans  # type: ignore[attr-defined]
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "garbage",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
    ],
)
def test_a_context_that_is_none_starts_a_new_trace(parent: str) -> None:
    trace = Tracing(None).start({"traceparent": parent, "tracestate": "a=b"}, "GET")
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert trace.trace_id != TRACE
    assert dict(trace.metadata()) == {"traceparent": f"00-{trace.trace_id}-{trace.span_id}-00"}


def test_a_context_goes_on_to_the_model_server(
    hanging: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(hanging.address, "--timeout=2")
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(gateway.generate, "x", headers=headers)
        assert hanging.called.wait(10)
        hanging.release()
        request_id = pending.result().headers["x-request-id"]
    version, trace_id, span_id, flags = hanging.metadata["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert span_id != PARENT
    assert hanging.metadata["tracestate"] == "vendor=1"
    assert hanging.metadata["x-request-id"] == request_id
    assert gateway.line_of(request_id)["trace_id"] == TRACE


def test_spans_reach_the_collector_of_the_environment(
    server: Any, start_gateway: Callable[..., Any], collector: Any
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    gateway = start_gateway(server.address, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert gateway.generate("a private prompt", headers=headers).status_code == 200
    assert gateway.generate("x", version=99).status_code == 404
    assert gateway.stop() == 0
    calls = [span for span in collector.spans if span.name == "POST /v1/generate"]
    assert len(calls) == 2
    [span] = [span for span in calls if span.trace_id.hex() == TRACE]
    assert span.parent_span_id.hex() == PARENT
    assert span.kind == 2  # a server's
    noted = {entry.key: entry.value for entry in span.attributes}
    assert noted["http.response.status_code"].int_value == 200
    assert noted["loomline.model"].string_value == "text"
    assert noted["loomline.version"].int_value == 3
    assert noted["loomline.tokens"].int_value == 64
    assert "private" not in str(collector.spans)
