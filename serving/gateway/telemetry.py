"""W3C trace context in and out, and OpenTelemetry spans where a collector is configured."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_TRACESTATE_LONGEST = 512
_EXPORT_SECONDS = 5


class Trace:
    """The part of a trace that happens here: one span, whose context goes on to the upstream.

    Attributes:
        trace_id, span_id: as hexadecimal digits.
    """

    def __init__(
        self, trace_id: str, span_id: str, sampled: bool, state: str, span: Any = None
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self._flags = "01" if sampled else "00"
        self._state = state
        self._span = span

    def metadata(self) -> list[tuple[str, str]]:
        """The context for a call of the upstream."""
        parent = f"00-{self.trace_id}-{self.span_id}-{self._flags}"
        if self._state:
            return [("traceparent", parent), ("tracestate", self._state)]
        return [("traceparent", parent)]

    def note(self, **attributes: str | int | float | None) -> None:
        """Adds attributes to the span; never prompts or outputs."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(f"loomline.{name}", value)

    def end(self, method: str, route: str, status: int) -> None:
        """The reply has been sent; the span is named by the route's template, not by the path."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.update_name(f"{method} {route}")
            self._span.set_attribute("http.route", route)
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._span.set_status(StatusCode.ERROR)
            self._span.end()


class Tracing:
    """Starts a trace per request.

    Without a collector it only passes contexts on, imports no SDK and opens no connection.

    Args:
        endpoint: of an OTLP collector over HTTP, http://HOST:4318; None for none.
        share: of the traces that start here and are sampled.
    """

    def __init__(self, endpoint: str | None, share: float = 1.0) -> None:
        self._tracer: Any = None
        self._provider: Any = None
        if endpoint is not None:
            self._provider = _provider(endpoint, share)
            self._tracer = self._provider.get_tracer("loomline.gateway")

    def start(self, headers: Mapping[str, str], method: str) -> Trace:
        """The trace of a request, continued where its headers carry a valid context."""
        found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
            found = None
        state = headers.get("tracestate", "") if found else ""
        if len(state) > _TRACESTATE_LONGEST or not state.isascii() or not state.isprintable():
            state = ""
        if self._tracer is not None:
            return self._span(found, state, method)
        trace_id = found[1] if found else secrets.token_hex(16)
        sampled = bool(int(found[3], 16) & 1) if found else False
        return Trace(trace_id, secrets.token_hex(8), sampled, state)

    def _span(self, found: re.Match[str] | None, state: str, method: str) -> Trace:
        from opentelemetry import trace

        context = None
        if found is not None:
            parent = trace.SpanContext(
                int(found[1], 16),
                int(found[2], 16),
                is_remote=True,
                trace_flags=trace.TraceFlags(int(found[3], 16) & 1),
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = self._tracer.start_span(
            method,
            context=context,
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": method},
        )
        own = span.get_span_context()
        return Trace(
            trace.format_trace_id(own.trace_id),
            trace.format_span_id(own.span_id),
            own.trace_flags.sampled,
            state,
            span,
        )

    def close(self) -> None:
        """Sends what is left, within some seconds."""
        if self._provider is not None:
            self._provider.force_flush(_EXPORT_SECONDS * 1000)
            self._provider.shutdown()


def _provider(endpoint: str, share: float) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource({"service.name": "loomline-gateway"}),
        sampler=ParentBased(TraceIdRatioBased(share)),
        shutdown_on_exit=False,
    )
    url = endpoint.rstrip("/") + "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
