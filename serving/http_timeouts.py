"""Ends HTTP connections of clients that send their request too slowly; uvicorn does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
BODY_SECONDS = 30.0
_REPLY = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s"
)
_BODY = b'{"error": {"code": "DEADLINE_EXCEEDED", "message": "expected %s within %g s"}}'


def protocol(
    header_seconds: float = HEADER_SECONDS, body_seconds: float = BODY_SECONDS
) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 protocol with limits on the time that a request may take to arrive.

    Between two requests of one connection uvicorn's own keep-alive timeout holds. A client that is
    too slow gets 408 and the connection is closed; a handler that waits for the rest of the body
    sees a disconnect.

    Args:
        header_seconds: from the connection, or from the first byte of a later request, until the
            headers are complete. Bytes that trickle in do not prolong it.
        body_seconds: from there until the body is complete.

    Returns:
        A class for `uvicorn.Config(http=...)`.
    """

    class TimedProtocol(H11Protocol):
        """Keeps one timer, for whichever part of a request is awaited."""

        _timer: asyncio.TimerHandle | None = None
        _awaited = ""
        _of: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            # asyncio does this only for sockets made with the protocol's number. Head and body of a
            # reply are two segments: the second would wait 40 ms for the first one's receipt.
            with contextlib.suppress(OSError):
                transport.get_extra_info("socket").setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
                )
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # Of the next request a part may have arrived already; if not, keep-alive's timer runs.
            if self.timeout_keep_alive_task is not None and not self.conn.trailing_data[0]:
                self._stop()
            else:
                self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Starts the timer of the part that is awaited now, unless it runs already."""
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                awaited = "headers"
            elif cycle.more_body:
                awaited = "body"
            else:
                self._stop()
                return
            if self._timer is not None and self._awaited == awaited and self._of is cycle:
                return
            self._stop()
            seconds = header_seconds if awaited == "headers" else body_seconds
            self._awaited, self._of = awaited, cycle
            self._timer = self.loop.call_later(seconds, self._expire, seconds)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._of = None, None

        def _expire(self, seconds: float) -> None:
            self._timer = None
            if self.transport.is_closing():
                return
            if self._awaited == "headers" or not self.cycle.response_started:
                part = b"complete headers" if self._awaited == "headers" else b"the whole body"
                body = _BODY % (part, seconds)
                self.transport.write(_REPLY % (len(body), body))
            self.transport.close()

    return TimedProtocol


def config(app: Any, **options: Any) -> uvicorn.Config:
    """A uvicorn configuration with these limits, plain asyncio, and no logging set-up of its own.

    Args:
        app: the ASGI application.
        options: of `uvicorn.Config`; `http` may be another class made by `protocol`.
    """
    fixed = {"http": protocol(), "loop": "asyncio", "ws": "none", "log_config": None}
    return uvicorn.Config(app, **{**fixed, "access_log": False, "server_header": False, **options})
