"""The async client: many calls at once, each of which can be given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest

from serving.client import (
    AsyncClient,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    Score,
    ServerError,
    UnavailableError,
    VersionStatus,
    messages,
)


class Hanging:
    """Answers nothing until the call ends on the client's side."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def __call__(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(self.ended.set)
        self.begun.set()
        # Longer than any test waits, shorter than the suite's patience.
        self.ended.wait(20)
        return b""

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)

    async def was_cancelled(self) -> bool:
        return await asyncio.to_thread(self.ended.wait, 5)


@pytest.fixture
def hanging() -> Hanging:
    return Hanging()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_the_calls_answer_as_the_blocking_ones_do(server: Any) -> None:
    async def work() -> None:
        async with AsyncClient(server.address, timeout=20) as client:
            [answer] = await client.generate("é", seed=4, version=3)
            assert (answer.text, answer.version) == ("first|4|é", 3)
            assert await client.score(["abc", ""]) == [Score(3.0, 4, 3), Score(0.0, 1, 3)]
            assert (await client.metadata()).version == 3
            assert await client.status() == [VersionStatus(3, "AVAILABLE", "OK", "")]
            assert await client.generate([]) == []
            assert await client.score([]) == []
            found = await client.predict("double", {"x": [[1, 2]]})
            assert found.outputs["y"].tolist() == [[2.0, 4.0]]
            with pytest.raises(InvalidRequestError, match="max_new_tokens of at least 1"):
                await client.generate("x", max_new_tokens=0)

    run(work())


def test_calls_run_at_once_and_keep_their_answers_apart(serve: Callable[..., Any]) -> None:
    together = threading.Barrier(8)

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        # No call is answered before all eight are there.
        together.wait(10)
        asked = messages.GetModelStatusRequest.FromString(request).model_spec.version.value
        response = messages.GetModelStatusResponse()
        response.model_version_status.add(version=asked, state=30)
        return bytes(response.SerializeToString())

    stub = serve(answer)

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=20) as client:
            found = await asyncio.gather(*(client.status(version=n) for n in range(1, 9)))
        assert [[entry.version for entry in states] for states in found] == [
            [n] for n in range(1, 9)
        ]

    run(work())


def test_a_cancelled_task_cancels_its_call_on_the_server(
    serve: Callable[..., Any], hanging: Hanging
) -> None:
    stub = serve(hanging)

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=20) as client:
            task = asyncio.create_task(client.generate("x"))
            await hanging.has_begun()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await hanging.was_cancelled()

    run(work())


def test_a_timeout_around_a_call_stays_a_timeout(
    serve: Callable[..., Any], hanging: Hanging
) -> None:
    stub = serve(hanging)

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=20) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.generate("x")
            assert await hanging.was_cancelled()

    run(work())


def test_a_cancelled_stream_cancels_the_piece_under_way(
    serve: Callable[..., Any], hanging: Hanging
) -> None:
    stub = serve(hanging)

    async def read(client: AsyncClient) -> None:
        async for _ in client.stream("x"):
            pass

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=20) as client:
            task = asyncio.create_task(read(client))
            await hanging.has_begun()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await hanging.was_cancelled()
        assert len(stub.calls) == 1

    run(work())


def test_leaving_the_context_closes_the_client_and_ends_its_calls(
    serve: Callable[..., Any], hanging: Hanging
) -> None:
    stub = serve(hanging)

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=20) as client:
            task = asyncio.create_task(client.generate("x"))
            await hanging.has_begun()
        # The task was not cancelled: it gets an error that it can handle.
        with pytest.raises(ServerError, match="the client was closed") as raised:
            await task
        assert raised.value.code == grpc.StatusCode.CANCELLED
        assert await hanging.was_cancelled()
        with pytest.raises(grpc.aio.UsageError):
            await client.status()

    run(work())


def test_a_server_that_hangs_meets_the_deadline(
    serve: Callable[..., Any], hanging: Hanging
) -> None:
    stub = serve(hanging)

    async def work() -> None:
        async with AsyncClient(stub.address, timeout=0.3) as client:
            started = time.monotonic()
            with pytest.raises(DeadlineError):
                await client.status()
            assert time.monotonic() - started < 5

    run(work())


def test_waiting_returns_the_version_and_gives_up_in_time(server: Any) -> None:
    async def work() -> None:
        async with AsyncClient(server.address, timeout=20) as client:
            assert await client.wait_until_available(5) == 3
            assert await client.wait_until_available(5, version=3) == 3
            with pytest.raises(DeadlineError, match="Could not find version 8"):
                await client.wait_until_available(0.3, version=8)
        async with AsyncClient(server.address, model="nope") as client:
            with pytest.raises(ModelNotFoundError):
                await client.status()

    run(work())


def test_waiting_outlasts_a_server_that_is_not_there_yet(
    serve: Callable[..., Any], free_address: str
) -> None:
    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        response = messages.GetModelStatusResponse()
        response.model_version_status.add(version=4, state=30)
        return bytes(response.SerializeToString())

    async def work() -> None:
        async with AsyncClient(free_address) as client:
            with pytest.raises(UnavailableError):
                await client.status()
            waiting = asyncio.create_task(client.wait_until_available(20))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            serve(answer, free_address)
            assert await waiting == 4

    run(work())
