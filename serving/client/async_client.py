"""The async client: the same calls as the blocking one, as coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from serving.client import channel, errors
from serving.client.channel import RetryPolicy, Tls
from serving.client.client import DEFAULT_TIMEOUT, KEEPALIVE_SECONDS, CallMetadata
from serving.client.protocol import RESPONSES, Answer, Call, Protocol, Stream
from serving.client.types import Chunk, Generation, Metadata, Prediction, Score, VersionStatus
from serving.client.waiting import POLL_SECONDS, Wait


class AsyncClient:
    """A connection to one model behind one address; made inside the event loop that uses it.

    Calls, arguments and errors are those of `Client`. A cancelled task cancels its call.

        async with AsyncClient("localhost:8500", model="text") as client:
            print((await client.generate(["The Congress"], seed=1))[0].text)
            async for chunk in client.stream("The Congress", max_new_tokens=100):
                print(chunk.text, end="", flush=True)
    """

    def __init__(
        self,
        address: str,
        *,
        model: str = "text",
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        retry: RetryPolicy | None = None,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        """Opens a channel; nothing is sent yet. Arguments and errors as for `Client`."""
        self._address = address
        self._timeout = timeout
        self._tls = tls
        self._protocol = Protocol(address, model)
        options = channel.options(retry or RetryPolicy(), tls, keepalive_seconds)
        target = channel.target(address)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(target, tls.credentials(), options=options)
        self._methods: dict[str, Callable[..., Any]] = {
            name: self._channel.unary_unary(
                name,
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for name, response in RESPONSES.items()
        }
        self._signatures: dict[tuple[int | None, str | None], Metadata] = {}

    @property
    def address(self) -> str:
        """As given."""
        return self._address

    async def _run(
        self, call: Call[Answer], timeout: float | None, metadata: CallMetadata = ()
    ) -> Answer:
        limit = self._timeout if timeout is None else timeout
        try:
            response = await self._methods[call.method](
                call.request, timeout=limit, metadata=tuple(metadata)
            )
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._address, self._tls) from None
        except asyncio.CancelledError:
            # A call also ends so when the client is closed under it; then its task goes on.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise errors.ServerError(
                "the client was closed", grpc.StatusCode.CANCELLED, self._address
            ) from None
        return call.read(response)

    async def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int | Sequence[int] = 64,
        temperature: float | Sequence[float] = 1.0,
        top_k: int | Sequence[int] = 0,
        top_p: float | Sequence[float] = 1.0,
        seed: int | Sequence[int] = 0,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[Generation]:
        """Continues prompts, as `Client.generate` does."""
        asked = [prompts] if isinstance(prompts, str) else list(prompts)
        if not asked:
            return []
        arguments = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        call = self._protocol.generate(asked, arguments, version, label)
        return await self._run(call, timeout, metadata)

    async def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        chunk_tokens: int = 8,
        first_chunk_tokens: int = 2,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> AsyncIterator[Chunk]:
        """Continues a prompt, and yields the text as it is written, as `Client.stream` does."""
        arguments = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        sizes = (first_chunk_tokens, chunk_tokens)
        stream = Stream(self._protocol, prompt, arguments, sizes, version, label)
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while not stream.finished:
            try:
                # gRPC itself reports a deadline that has passed.
                left = max(deadline - time.monotonic(), 0.0)
                chunk = await self._run(stream.next(), left, metadata)
            except errors.ClientError as error:
                raise stream.failed(error) from None
            yield chunk

    async def score(
        self,
        texts: str | Sequence[str],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[Score]:
        """Rates texts, as `Client.score` does."""
        asked = [texts] if isinstance(texts, str) else list(texts)
        if not asked:
            return []
        call = self._protocol.score(asked, version, label)
        return await self._run(call, timeout, metadata)

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> Prediction:
        """Runs any signature, as `Client.predict` does."""
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        key = (version, label)
        if key not in self._signatures:
            self._signatures[key] = await self.metadata(
                version=version, label=label, timeout=limit, metadata=metadata
            )
        try:
            call = self._protocol.predict(signature, inputs, self._signatures[key], version, label)
            left = max(deadline - time.monotonic(), 0.0)
            return await self._run(call, left, metadata)
        except (errors.InvalidRequestError, errors.ModelNotFoundError):
            # A newer version may have other signatures.
            self._signatures.pop(key, None)
            raise

    async def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> Metadata:
        """The signatures of the model."""
        return await self._run(self._protocol.get_metadata(version, label), timeout, metadata)

    async def status(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[VersionStatus]:
        """The state of every version that the server knows, newest first."""
        return await self._run(self._protocol.get_status(version, label), timeout, metadata)

    async def wait_until_available(
        self, timeout: float = DEFAULT_TIMEOUT, *, version: int | None = None
    ) -> int:
        """Waits until the model answers, as `Client.wait_until_available` does."""
        wait = Wait(self._address, self._protocol.model, version, timeout)
        while (left := wait.left()) > 0:
            try:
                found = wait.answered(await self.status(version=version, timeout=left))
            except errors.ClientError as error:
                wait.refused(error)
            else:
                if found is not None:
                    return found
            await asyncio.sleep(min(POLL_SECONDS, max(wait.left(), 0)))
        raise wait.over()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        await self._channel.close(grace=None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
