"""One call of a model: its place among those under way, its quota, its record, its metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc
from starlette.types import Receive

from serving.client import ClientError
from serving.gateway import errors
from serving.gateway.auth import Caller
from serving.gateway.context import Context
from serving.gateway.errors import ApiError
from serving.gateway.limits import Usage
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.recorder import Recorder
from serving.gateway.routing import Route, Router
from serving.store import RequestRecord

Result = TypeVar("Result")
_RECORD_OVERHEAD = 1000


@dataclasses.dataclass
class Call:
    """What is known about a call, while it runs and in its record."""

    context: Context
    caller: Caller
    kind: str
    model: str
    signature: str
    route: Route
    inputs: dict[str, Any]
    size: int
    version: int | None = None
    outputs: dict[str, Any] | None = None
    tokens: int = 0
    first_token_ms: float | None = None
    code: str = "OK"
    message: str = ""

    def answer(self) -> dict[str, Any]:
        """The fields that every answer of a model has."""
        return {
            "request_id": self.context.id,
            "model": self.model,
            "version": self.version,
            "label": self.route.label,
            "arm": self.route.arm,
        }

    def metadata(self) -> list[tuple[str, str]]:
        """Goes with the call to the model server."""
        return [("x-request-id", self.context.id), *self.context.trace.metadata()]

    def record(self) -> RequestRecord:
        """What is kept of it."""
        failed = self.code != "OK"
        return RequestRecord(
            id=self.context.id,
            created=self.context.created,
            key_id=self.caller.key_id,
            model=self.model,
            version=self.version,
            label=self.route.label,
            arm=self.route.arm,
            signature=self.signature,
            inputs=self.inputs,
            outputs=self.outputs,
            status="error" if failed else "ok",
            code=self.code if failed else "",
            message=self.message,
            num_tokens=self.tokens,
            latency_ms=self.context.elapsed_ms(),
            first_token_ms=self.first_token_ms,
            client_request_id=self.context.client_id,
            streamed=self.kind == "stream",
        )


class Calls:
    """Counts and limits the calls under way, and sees to it that each is recorded."""

    def __init__(
        self,
        router: Router,
        recorder: Recorder,
        usage: Usage,
        metrics: GatewayMetrics,
        max_in_flight: int,
    ) -> None:
        self._router, self._recorder = router, recorder
        self._usage, self._metrics = usage, metrics
        self._max = max_in_flight
        self._open: dict[str, asyncio.Event] = {}

    async def ended(self, request_id: str, timeout: float) -> None:
        """Waits until a call is recorded, if it is under way."""
        event = self._open.get(request_id)
        if event is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), timeout)

    async def all_ended(self, timeout: float) -> None:
        """Waits until every call under way is recorded."""
        waits = [asyncio.create_task(event.wait()) for event in self._open.values()]
        if waits:
            _, late = await asyncio.wait(waits, timeout=timeout)
            for one in late:
                one.cancel()

    @contextlib.asynccontextmanager
    async def open(self, call: Call, tokens: int) -> AsyncIterator[None]:
        """Around the work of a call; turns the client's errors into the gateway's.

        Args:
            call: its outcome is read off it at the end.
            tokens: at most so many new ones will be made.

        Raises:
            ApiError: too many calls are under way, the quota is used up, or the call failed.
        """
        if len(self._open) >= self._max:
            raise ApiError(
                "UNAVAILABLE",
                f"expected at most {self._max} calls at once. Received: one more",
                headers={"Retry-After": "1"},
            )
        key_id = call.caller.key_id
        if key_id is not None:
            quota = call.caller.tokens_per_day
            self._usage.reserve(key_id, tokens, quota, datetime.now(UTC))
        ended = self._open[call.context.id] = asyncio.Event()
        self._metrics.in_flight.inc()
        try:
            yield
        except ClientError as error:
            mistake = errors.from_client(error)
            call.code = error.code.name if error.code is not None else "INTERNAL"
            call.message = mistake.message
            raise mistake from None
        except ApiError as error:
            call.code, call.message = error.code, error.message
            raise
        except (asyncio.CancelledError, GeneratorExit):
            call.code, call.message = "CANCELLED", "the gateway was stopped"
            raise
        except Exception as error:
            call.code, call.message = "INTERNAL", type(error).__name__
            raise
        finally:
            if key_id is not None:
                self._usage.release(key_id, tokens)
                self._usage.add(key_id, datetime.now(UTC).date(), call.tokens)
            self._metrics.in_flight.dec()
            self._finish(call)
            del self._open[call.context.id]
            ended.set()

    def _finish(self, call: Call) -> None:
        record = call.record()
        self._recorder.add(record, call.size + _RECORD_OVERHEAD)
        first = None if call.first_token_ms is None else call.first_token_ms / 1000
        seconds = record.latency_ms / 1000
        version, arm = call.version, call.route.arm
        self._metrics.call(
            call.kind, call.model, version, arm, call.code, seconds, call.tokens, first
        )
        noted = {
            "call": call.kind,
            "model": call.model,
            "version": version,
            "arm": arm,
            "code": call.code,
            "tokens": call.tokens,
        }
        call.context.trace.note(**noted)
        call.context.fields.update(noted, key_id=call.caller.key_id)
        if call.message:
            call.context.fields["error"] = call.message

    async def routed(self, call: Call, ask: Callable[[Route], Awaitable[Result]]) -> Result:
        """Asks the version that the call's route names, or the next best if an arm has no label."""
        while True:
            try:
                return await ask(call.route)
            except ClientError as error:
                fallback = self._router.fallback(call.route)
                if fallback is None or not _label_is_missing(error):
                    raise
                call.route = fallback


def _label_is_missing(error: ClientError) -> bool:
    """Whether the server does not know the label it was asked for, by its code and text."""
    codes = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    return error.code in codes and "label" in error.message.lower()


@contextlib.asynccontextmanager
async def cancelled_with_client(receive: Receive) -> AsyncIterator[None]:
    """Cancels the work inside as soon as the client goes away; its body must have been read.

    Raises:
        ApiError: the client has gone (CANCELLED).
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ApiError("CANCELLED", "the client went away") from None
    finally:
        watcher.cancel()
