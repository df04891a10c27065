"""The HTTP server of the REST API and of the metrics: limits, timeouts and a clean end."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent import futures
from typing import Any

import uvicorn

from serving import http_timeouts
from serving.server.errors import StatusError, invalid_argument, unavailable
from serving.server.inference import Inference
from serving.server.metrics import CONTENT_TYPE, ServerMetrics
from serving.server.rest_api import API_PATH, Answer, RestApi, StatusCalls, refusal, timed_out

MAX_REQUEST_BYTES = 64 * 2**20
# Of all requests under way together; JSON takes many times its size once it is parsed.
_MAX_HELD = 4
_MAX_HEADER_BYTES = 64 * 2**10
_HEADER_SECONDS = 10.0
_BODY_SECONDS = 60.0
_KEEP_ALIVE_SECONDS = 60
_UNREAD_SECONDS = 60.0
_START_SECONDS = 20.0
# Status and metadata have threads of their own: probes are answered while models are busy.
_STATUS_THREADS = 2
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]

Message = dict[str, Any]


class RestServer:
    """A server that listens already; `start_rest` makes it.

    Attributes:
        port: where it listens.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="rest", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the REST server did not start; the log has the reason")
            time.sleep(0.005)

    def stop(self, grace_seconds: float) -> None:
        """Takes no new requests, and returns when those under way are answered.

        Args:
            grace_seconds: those that take longer are cut off.
        """
        self._server.config.timeout_graceful_shutdown = max(1, math.ceil(grace_seconds))
        self._server.should_exit = True
        self._thread.join(grace_seconds + 5)


def start_rest(
    inference: Inference,
    calls: StatusCalls,
    metrics: ServerMetrics,
    host: str,
    port: int,
    timeout_seconds: float = 30.0,
    threads: int = 8,
    monitoring_path: str | None = None,
    *,
    cors: bool = False,
    max_request_bytes: int = MAX_REQUEST_BYTES,
    header_seconds: float = _HEADER_SECONDS,
    body_seconds: float = _BODY_SECONDS,
    unread_seconds: float = _UNREAD_SECONDS,
) -> RestServer:
    """Serves the REST API, and metrics where they are wanted, in threads of its own.

    As in TensorFlow Serving the content type of a request counts for nothing, and a body may be
    compressed by gzip.

    Args:
        inference: answers predictions.
        calls: answers questions about the state of models.
        metrics: is told of every prediction, and is what the page of metrics shows.
        host: address to listen on.
        port: 0 picks a free one.
        timeout_seconds: from the end of a request to its answer; later ones get 504.
        threads: predictions that run at the same time.
        monitoring_path: path of the metrics; None for none.
        cors: let pages of other sites read the answers.
        max_request_bytes: larger bodies are refused with 413.
        header_seconds: until the headers of a request are complete; else 408.
        body_seconds: from there until its body is complete; else 408.
        unread_seconds: connections whose other side takes nothing of an answer for so long end.

    Raises:
        OSError: the address cannot be listened on.
    """
    api = RestApi(inference, calls, metrics)
    application = _Application(
        api,
        metrics,
        timeout_seconds=timeout_seconds,
        threads=threads,
        monitoring_path=monitoring_path,
        cors=cors,
        max_request_bytes=max_request_bytes,
    )
    config = http_timeouts.config(
        application,
        http=_protocol(header_seconds, body_seconds, unread_seconds),
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        lifespan="off",
        interface="asgi3",
        log_level="warning",
    )
    return RestServer(config, _listen(host, port))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=1024)


def _protocol(
    header_seconds: float, body_seconds: float, unread_seconds: float
) -> type[asyncio.Protocol]:
    """The timeouts of arriving requests, and one for answers that are not fetched."""
    base: Any = http_timeouts.protocol(header_seconds, body_seconds)

    class Protocol(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            connection = transport.get_extra_info("socket")
            # asyncio leaves this to whoever made the listening socket. Without it the head and the
            # body of an answer are two packets, 40 ms apart.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # The kernel ends connections whose other side takes nothing off them.
                connection.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(unread_seconds * 1000)
                )
            super().connection_made(transport)

    return Protocol


class _GoneError(Exception):
    """The caller has gone before the request was complete."""


class _RefusedError(Exception):
    """The request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__()


class _Application:
    """The ASGI application: bodies within limits, work in threads, answers within time."""

    def __init__(
        self,
        api: RestApi,
        metrics: ServerMetrics,
        *,
        timeout_seconds: float,
        threads: int,
        monitoring_path: str | None,
        cors: bool,
        max_request_bytes: int,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._timeout = timeout_seconds
        self._monitoring_path = monitoring_path
        self._headers = [(b"content-type", b"application/json"), *(_CORS if cors else [])]
        self._cors = cors
        self._max_bytes = max_request_bytes
        self._held = 0
        self._predictions = futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._others = futures.ThreadPoolExecutor(_STATUS_THREADS, thread_name_prefix="status")

    async def __call__(self, scope: Message, receive: Callable[[], Any], send: Any) -> None:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        if path == self._monitoring_path:
            page = self._metrics.text().encode("utf-8")
            await _send(send, 200, [(b"content-type", CONTENT_TYPE.encode())], page)
            return
        body = bytearray()
        try:
            answer = await self._answer(method, path, scope["headers"], receive, body)
        except _GoneError:
            return
        except _RefusedError as refused:
            answer = refused.answer
        finally:
            self._held -= len(body)
        await _send(send, answer.code, self._headers, answer.body)

    async def _answer(
        self, method: str, path: str, headers: Any, receive: Any, body: bytearray
    ) -> Answer:
        if not API_PATH.fullmatch(path):
            return refusal(invalid_argument(f"Not found: {method} {path}"), 404)
        if method == "OPTIONS" and self._cors:
            return _preflight(headers)
        await self._read(headers, receive, body)
        compressed = any(
            name == b"content-encoding" and value.strip().lower() == b"gzip"
            for name, value in headers
        )
        pool = self._predictions if method == "POST" else self._others
        deadline = time.monotonic() + self._timeout
        work = asyncio.get_running_loop().run_in_executor(
            pool, self._work, method, path, bytes(body), compressed, deadline
        )
        done, _ = await asyncio.wait({work}, timeout=self._timeout)
        if done:
            return work.result()
        work.cancel()
        return refusal(timed_out())

    def _work(
        self, method: str, path: str, body: bytes, compressed: bool, deadline: float
    ) -> Answer:
        if compressed:
            try:
                body = _decompressed(body, self._max_bytes)
            except _RefusedError as refused:
                return refused.answer
        return self._api.answer(method, path, body, deadline)

    async def _read(self, headers: Any, receive: Any, body: bytearray) -> None:
        """Reads the body, as far as it may go."""
        for name, value in headers:
            if name == b"content-length" and int(value) > self._max_bytes:
                raise _too_large(self._max_bytes)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > self._max_bytes:
                raise _too_large(self._max_bytes)
            if self._held + len(chunk) > _MAX_HELD * self._max_bytes:
                raise _RefusedError(
                    refusal(unavailable("too many large requests at the same time; try again"))
                )
            body += chunk
            self._held += len(chunk)
            more = message.get("more_body", False)


def _preflight(headers: Any) -> Answer:
    """The answer to a browser that asks whether it may send a request to this site."""
    origin = dict(headers).get(b"origin", b"")
    if b"http://" in origin or b"https://" in origin:
        return Answer(200, b"")
    return refusal(invalid_argument("Origin header is missing in CORS preflight"))


def _decompressed(data: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = decoder.decompress(data, limit + 1)
    except zlib.error:
        raise _RefusedError(refusal(invalid_argument("expected a body in gzip's format"))) from None
    if len(body) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise _RefusedError(refusal(invalid_argument("expected a complete gzip stream")))
    return body


def _too_large(limit: int) -> _RefusedError:
    problem: StatusError = invalid_argument(
        f"expected a request of at most {limit} bytes. Received: more"
    )
    return _RefusedError(refusal(problem, 413))


async def _send(send: Any, code: int, headers: Any, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": code, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
