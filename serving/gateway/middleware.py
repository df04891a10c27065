"""Around every request: its context, the Host check, headers of the reply, log line and metrics."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gateway import logs
from serving.gateway.context import Context, open_context, reply
from serving.gateway.errors import CLIENT_CLOSED, ApiError
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.telemetry import Tracing

_log = logging.getLogger("serving.gateway.access")
# Pages load scripts and styles from the gateway itself, and nothing that a model or a person wrote
# can run: no inline script, no foreign origin, no frame around it.
CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# A frame that a page fills inherits the page's policy, and a report has its styles inline. Scripts
# stay the gateway's own, and the frame is a sandbox besides.
WITH_REPORTS = CONTENT_SECURITY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
_POLICY = b"content-security-policy"
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by machines.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class Envelope:
    """The outermost ASGI layer of the gateway.

    Args:
        app: the layers inside.
        tracing: starts the traces.
        metrics: counts the replies.
        hosts: values of the Host header that are taken; None for any. A gateway without keys on a
            loopback address takes its own names only: else a page of any site could have its
            name resolve to this machine and read everything.
    """

    def __init__(
        self,
        app: ASGIApp,
        tracing: Tracing,
        metrics: GatewayMetrics,
        hosts: frozenset[str] | None,
    ) -> None:
        self._app, self._tracing, self._metrics, self._hosts = app, tracing, metrics, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        method = scope["method"] if scope["method"] in _METHODS else "other"
        trace = self._tracing.start(headers, method)
        context = open_context(scope, headers, trace)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers(context)]
                if all(name.lower() != _POLICY for name, _ in message["headers"]):
                    message["headers"].append((_POLICY, CONTENT_SECURITY.encode()))
            await send(message)

        try:
            if self._hosts is not None and not _host(headers) & self._hosts:
                await _refuse(headers)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The time for open requests to finish at the end is over.
            status = status or CLIENT_CLOSED
            raise
        except Exception:
            _log.exception("failed", extra={logs.FIELDS: {"request_id": context.id}})
            if status == 0:
                mistake = ApiError("INTERNAL", "the gateway failed; its log tells more")
                answer = reply(mistake.body(context.id), mistake.status)
                await answer(scope, receive, send_with_headers)
            else:
                raise
        finally:
            self._end(scope, context, method, status or CLIENT_CLOSED)

    def _end(self, scope: Scope, context: Context, method: str, status: int) -> None:
        # The template of the route: paths of callers would be labels without number.
        route = getattr(scope.get("route"), "path", "other")
        context.trace.end(method, route, status)
        self._metrics.http(route, method, status)
        if route in _QUIET:
            return
        fields: dict[str, Any] = {
            "request_id": context.id,
            "trace_id": context.trace.trace_id,
            "method": method,
            "path": scope["path"][:200],
            "status": status,
            "ms": round(context.elapsed_ms(), 3),
        }
        if context.client_id is not None:
            fields["client_request_id"] = context.client_id
        fields.update(context.fields)
        _log.info("request", extra={logs.FIELDS: fields})


def _headers(context: Context) -> list[tuple[bytes, bytes]]:
    extra = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in context.reply_headers.items()
    ]
    return [(b"x-request-id", context.id.encode()), *_ALWAYS, *extra]


def _host(headers: dict[str, str]) -> frozenset[str]:
    """The name in the Host header, with its port and without."""
    host = headers.get("host", "").lower()
    name, colon, port = host.rpartition(":")
    return frozenset({host, name}) if colon and port.isdecimal() else frozenset({host})


def allowed_hosts(loopback_without_keys: bool, further: tuple[str, ...]) -> frozenset[str] | None:
    """The Host headers that are taken; None for any."""
    if not loopback_without_keys:
        return None
    return _LOOPBACK | {name.lower() for name in further}


def _refuse(headers: dict[str, str]) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        received = headers.get("host", "none")[:80]
        mistake = ApiError(
            "PERMISSION_DENIED",
            f"expected a Host of this machine. Received: {received}; allow others with "
            "--allowed-hosts, or use keys",
        )
        context: Context = scope["state"]["loomline"]
        await reply(mistake.body(context.id), mistake.status)(scope, receive, send)

    return refuse
