"""A gRPC server that answers as a test says, and a real one that tests may change."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.client import AsyncClient, Chunk, Client
from serving.client.admin import ModelConfig, reload

# What a stub answers: from the method's name, the request's bytes and the call's context.
Answer = Callable[[str, bytes, grpc.ServicerContext], bytes]


@dataclasses.dataclass
class Stub:
    """A gRPC server of the test's own; it counts its calls, and notes their metadata."""

    address: str
    server: grpc.Server
    calls: list[str] = dataclasses.field(default_factory=list)
    requests: list[bytes] = dataclasses.field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = dataclasses.field(default_factory=list)

    def stop(self) -> None:
        self.server.stop(None).wait(5)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.stub: Stub | None = None

    def service(self, details: Any) -> Any:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            assert self.stub is not None
            self.stub.requests.append(request)
            self.stub.metadata.append(dict(context.invocation_metadata()))
            self.stub.calls.append(details.method)
            return self._answer(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


@pytest.fixture
def serve() -> Iterator[Callable[..., Stub]]:
    """Starts a stub: what it answers, where it listens, and its credentials, if any."""
    stubs = []

    def serve(
        answer: Answer,
        address: str = "127.0.0.1:0",
        credentials: grpc.ServerCredentials | None = None,
    ) -> Stub:
        handler = _Handler(answer)
        # A port that is still in use must fail the test, not share its calls.
        options = [("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(8), handlers=[handler], options=options)
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        listens = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        handler.stub = Stub(listens, server)
        server.start()
        stubs.append(handler.stub)
        return handler.stub

    yield serve
    for stub in stubs:
        stub.stop()


@pytest.fixture(params=["blocking", "async"])
def stream(request: pytest.FixtureRequest) -> Callable[..., list[Chunk]]:
    """Streams a text with either client; calls `between` after every piece until it is true."""

    def blocking(
        address: str,
        prompt: str,
        between: Callable[[Chunk], bool | None],
        arguments: dict[str, Any],
    ) -> list[Chunk]:
        chunks = []
        with Client(address, timeout=20) as client:
            for chunk in client.stream(prompt, **arguments):
                chunks.append(chunk)
                if between(chunk):
                    break
        return chunks

    async def with_coroutines(
        address: str,
        prompt: str,
        between: Callable[[Chunk], bool | None],
        arguments: dict[str, Any],
    ) -> list[Chunk]:
        chunks = []
        async with AsyncClient(address, timeout=20) as client:
            async for chunk in client.stream(prompt, **arguments):
                chunks.append(chunk)
                if between(chunk):
                    break
        return chunks

    def stream(
        address: str,
        prompt: str,
        between: Callable[[Chunk], bool | None] = lambda chunk: False,
        **arguments: Any,
    ) -> list[Chunk]:
        if request.param == "blocking":
            return blocking(address, prompt, between, arguments)
        return asyncio.run(with_coroutines(address, prompt, between, arguments))

    return stream


@pytest.fixture(scope="session")
def changing(
    tmp_path_factory: pytest.TempPathFactory,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> Any:
    """A real server with versions 1 and 2 on its disk; every test says anew what it serves.

    `serves` says it.
    """
    base_path = tmp_path_factory.mktemp("changing") / "text"
    publish(saved_models["first"], base_path, 1)
    publish(saved_models["second"], base_path, 2)
    # By default a load that fails is tried again after a minute.
    flags = ("--max_num_load_retries=1000", "--load_retry_interval_micros=300000")
    running = start_server(base_path, *flags)
    with Client(running.address) as client:
        client.wait_until_available(60)
    return running


@pytest.fixture
def serves(changing: Any) -> Callable[..., None]:
    """Has the changing server serve just some versions, and then labels for them."""

    def serves(*versions: int, labels: Mapping[str, int] | None = None) -> None:
        model = ModelConfig("text", str(changing.base_path), versions)
        reload(changing.address, [model], timeout=30)
        deadline = time.monotonic() + 30
        with Client(changing.address, timeout=20) as client:
            while available(client) != set(versions):
                assert time.monotonic() < deadline, client.status()
                time.sleep(0.02)
        if labels:
            labelled = ModelConfig("text", str(changing.base_path), versions, labels)
            reload(changing.address, [labelled], timeout=30)

    def available(client: Client) -> set[int]:
        return {entry.version for entry in client.status() if entry.state == "AVAILABLE"}

    return serves


@pytest.fixture
def free_address() -> str:
    """HOST:PORT where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
