"""Server-sent events: a text in pieces, with heartbeats, and an end as soon as the client goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.types import Send

from serving.client import Chunk
from serving.gateway.context import json_bytes
from serving.gateway.errors import ApiError

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    # nginx and its like would otherwise hold the pieces back.
    (b"x-accel-buffering", b"no"),
]
_HEARTBEAT = b": still working\n\n"


def event(name: str, data: Any) -> bytes:
    """An event; JSON has no line breaks outside of strings, and escapes them inside."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_bytes(data))


class EventStream:
    """Writes events to a client.

    Args:
        send: of ASGI.
        write_seconds: that the client may take for a piece.
    """

    def __init__(self, send: Send, write_seconds: float) -> None:
        self._send, self._seconds = send, write_seconds
        self.started = False

    async def write(self, data: bytes, more: bool = True) -> None:
        """Sends events, after the headers if these are the first.

        Raises:
            ApiError: the client does not read (CANCELLED).
        """
        try:
            async with asyncio.timeout(self._seconds):
                if not self.started:
                    self.started = True
                    start = {"type": "http.response.start", "status": 200, "headers": list(HEADERS)}
                    await self._send(start)
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise ApiError("CANCELLED", "the client does not read what it is sent") from None

    async def heartbeat(self) -> None:
        """Sends a comment, which tells proxies and the client that the stream lives."""
        await self.write(_HEARTBEAT)


async def with_heartbeats(
    chunks: AsyncIterator[Chunk], stream: EventStream, seconds: float
) -> AsyncGenerator[Chunk, None]:
    """The chunks; while none comes for some seconds, heartbeats go to the client."""
    pending: asyncio.Future[Chunk] | None = None
    try:
        while True:
            pending = asyncio.ensure_future(anext(chunks))
            while not pending.done():
                await asyncio.wait((pending,), timeout=seconds)
                if not pending.done():
                    await stream.heartbeat()
            try:
                chunk = pending.result()
            except StopAsyncIteration:
                return
            yield chunk
    finally:
        if pending is not None and not pending.done():
            # Cancelling it cancels the call of the model server.
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await pending
