"""The text calls: /v1/generate, whole or as a stream, and /v1/score."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.client import Chunk, Generation, Score
from serving.gateway import context
from serving.gateway.auth import Caller
from serving.gateway.calls import Call, cancelled_with_client
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.routing import Route
from serving.gateway.schemas import GenerateRequest, ScoreRequest
from serving.gateway.streaming import EventStream, event, with_heartbeats

# Every browser holds numbers up to 2**53 exactly; shorter seeds are easier to read out.
_SEEDS = 2**31


async def generate(gateway: Gateway, request: Request) -> Response:
    """Continues a text."""
    caller = await gateway.caller(request)
    body = await context.read(request, GenerateRequest, gateway.settings.max_body_bytes)
    limit = gateway.settings.max_new_tokens
    if body.max_new_tokens > limit:
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected max_new_tokens of at most {limit}. Received: {body.max_new_tokens}",
        )
    call, arguments = _open(gateway, request, caller, body)
    if body.stream:
        return _Stream(gateway, call, body.prompt, arguments)

    async def ask(route: Route) -> list[Generation]:
        return await gateway.upstream.client(call.model).generate(
            body.prompt,
            version=route.version,
            label=route.label,
            metadata=call.metadata(),
            **arguments,
        )

    async with gateway.calls.open(call, body.max_new_tokens):
        async with cancelled_with_client(request.receive):
            found = (await gateway.calls.routed(call, ask))[0]
        call.version, call.tokens = found.version, found.num_tokens
        call.size += len(found.text)
        outcome = _outcome(found.num_tokens, found.logprob, arguments)
        call.outputs = {"text": found.text, **outcome}
    answer = {**call.answer(), "text": found.text, "seed": arguments["seed"], **outcome}
    return context.reply({**answer, "latency_ms": _ms(call)})


def _open(
    gateway: Gateway, request: Request, caller: Caller, body: GenerateRequest
) -> tuple[Call, dict[str, Any]]:
    """The call for a body, and the arguments that the client takes for it."""
    model = gateway.upstream.model(body.model)
    arguments = {
        "max_new_tokens": body.max_new_tokens,
        "temperature": body.temperature,
        "top_k": body.top_k,
        "top_p": body.top_p,
        "seed": secrets.randbelow(_SEEDS) if body.seed is None else body.seed,
    }
    route = gateway.router.route(
        model, body.version, body.label, gateway.sticky(request, caller, model)
    )
    call = Call(
        context.of(request),
        caller,
        "stream" if body.stream else "generate",
        model,
        "generate_chunk" if body.stream else "generate",
        route,
        {"prompt": body.prompt, **arguments},
        len(body.prompt),
    )
    return call, arguments


def _outcome(tokens: int, logprob: float, arguments: dict[str, Any]) -> dict[str, Any]:
    reason = "length" if tokens >= arguments["max_new_tokens"] else "stop"
    return {"num_tokens": tokens, "logprob": logprob, "finish_reason": reason}


def _ms(call: Call) -> float:
    return round(call.context.elapsed_ms(), 3)


class _Stream(Response):
    """A continuation as server-sent events: start, chunk..., and done or error."""

    def __init__(
        self, gateway: Gateway, call: Call, prompt: str, arguments: dict[str, Any]
    ) -> None:
        super().__init__(media_type="text/event-stream")
        self._gateway, self._call = gateway, call
        self._prompt, self._arguments = prompt, arguments
        self._texts: list[str] = []
        self._logprob = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events. Errors before the first one become ordinary replies."""
        settings, call = self._gateway.settings, self._call
        stream = EventStream(send, settings.write_seconds)
        try:
            async with self._gateway.calls.open(call, self._arguments["max_new_tokens"]):
                try:
                    async with cancelled_with_client(receive):
                        await self._send_chunks(stream)
                finally:
                    # What came before an end of any kind is recorded.
                    text = "".join(self._texts)
                    outcome = _outcome(call.tokens, self._logprob, self._arguments)
                    call.outputs = {"text": text, **outcome}
                    call.size += len(text)
        except ApiError as error:
            if not stream.started:
                raise
            await self._send_error(stream, error)
        except asyncio.CancelledError:
            if stream.started:
                await self._send_error(stream, ApiError("UNAVAILABLE", "the gateway is stopping"))
            raise
        except Exception:
            if stream.started:
                await self._send_error(stream, ApiError("INTERNAL", "the gateway failed"))
            raise
        else:
            done = {**call.answer(), "seed": self._arguments["seed"], **outcome}
            done |= {"latency_ms": _ms(call), "first_token_ms": call.first_token_ms}
            await stream.write(event("done", done), more=False)

    async def _send_error(self, stream: EventStream, error: ApiError) -> None:
        with contextlib.suppress(ApiError):
            body = error.body(self._call.context.id)
            await stream.write(event("error", body), more=False)

    async def _send_chunks(self, stream: EventStream) -> None:
        call, heartbeat = self._call, self._gateway.settings.heartbeat_seconds
        source = with_heartbeats(self._chunks(), stream, heartbeat)
        async with contextlib.aclosing(source) as chunks:
            data, opened = b"", False
            async for chunk in chunks:
                if not opened:
                    opened, call.version = True, chunk.version
                    start = {**call.answer(), "seed": self._arguments["seed"]}
                    data = event("start", start)
                call.tokens += chunk.num_tokens
                self._logprob += chunk.logprob
                if chunk.num_tokens and call.first_token_ms is None:
                    call.first_token_ms = _ms(call)
                if chunk.text or chunk.num_tokens:
                    self._texts.append(chunk.text)
                    data += event("chunk", {"text": chunk.text, "num_tokens": chunk.num_tokens})
                if data:
                    await stream.write(data)
                    data = b""

    async def _chunks(self) -> AsyncIterator[Chunk]:
        """The chunks of the model server, from the version that the call is routed to."""
        settings, call = self._gateway.settings, self._call
        client = self._gateway.upstream.client(call.model)

        async def begin(route: Route) -> tuple[AsyncIterator[Chunk], Chunk | None]:
            chunks = client.stream(
                self._prompt,
                version=route.version,
                label=route.label,
                first_chunk_tokens=settings.first_chunk_tokens,
                chunk_tokens=settings.chunk_tokens,
                metadata=call.metadata(),
                **self._arguments,
            )
            return chunks, await anext(chunks, None)

        chunks, first = await self._gateway.calls.routed(call, begin)
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk


async def score(gateway: Gateway, request: Request) -> Response:
    """Rates how likely a text is."""
    caller = await gateway.caller(request)
    body = await context.read(request, ScoreRequest, gateway.settings.max_body_bytes)
    model = gateway.upstream.model(body.model)
    route = gateway.router.route(
        model, body.version, body.label, gateway.sticky(request, caller, model)
    )
    known, size = context.of(request), len(body.text)
    call = Call(known, caller, "score", model, "score", route, {"text": body.text}, size)

    async def ask(route: Route) -> list[Score]:
        return await gateway.upstream.client(model).score(
            body.text, version=route.version, label=route.label, metadata=call.metadata()
        )

    async with gateway.calls.open(call, 0):
        async with cancelled_with_client(request.receive):
            found = (await gateway.calls.routed(call, ask))[0]
        call.version = found.version
        length = len(body.text.encode())
        call.outputs = outputs = {
            "nll": found.nll,
            "num_tokens": found.num_tokens,
            "bits_per_byte": found.nll / math.log(2) / length if length else None,
        }
    return context.reply({**call.answer(), **outputs, "latency_ms": _ms(call)})
