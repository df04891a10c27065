"""Real gateway processes in front of real servers, and upstreams that misbehave."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

PREFIX = "Gateway on "


@dataclasses.dataclass(eq=False)
class Running:
    """A gateway process, a client for it, and where it keeps what."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    store: str
    http: httpx.Client

    def stop(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def logged(self) -> list[dict[str, Any]]:
        """The complete lines of its log; each must be JSON."""
        lines = self.log.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, which follows its reply."""
        deadline = time.monotonic() + 10
        while True:
            for entry in self.logged():
                if entry.get("request_id") == request_id and entry["message"] == "request":
                    return entry
            assert time.monotonic() < deadline, "the request was not logged"
            time.sleep(0.02)

    def generate(self, prompt: str = "Once", **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", None)
        return self.http.post("/v1/generate", json={"prompt": prompt, **fields}, headers=headers)

    def events(self, prompt: str = "Once", **fields: Any) -> list[tuple[str, dict[str, Any]]]:
        """The events of a stream, each as its name and its data."""
        body = {"prompt": prompt, "stream": True, **fields}
        with self.http.stream("POST", "/v1/generate", json=body) as reply:
            assert reply.status_code == 200, reply.read()
            return parse_events(reply.read().decode())

    def metric(self, line: str) -> float:
        """The value of a series of /metrics; 0 if it is not there."""
        for found in self.http.get("/metrics").text.splitlines():
            if found.rpartition(" ")[0] == line:
                return float(found.rpartition(" ")[2])
        return 0.0


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.fixture(scope="session")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Starts a gateway on a free port with a store of its own, or one that is given."""
    with contextlib.ExitStack() as stack:

        def start(upstream: str, *flags: str, store: str | None = None, **env: str) -> Running:
            folder = tmp_path_factory.mktemp("gateway")
            store = store or f"sqlite:///{folder / 'gateway.db'}"
            command = [sys.executable, "-m", "serving.gateway", "--port=0"]
            command += [f"--upstream={upstream}", f"--store={store}", *flags]
            with (folder / "log").open("w") as stream:
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=stream, text=True, env=os.environ | env
                )
            stack.callback(_end, process)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(PREFIX), f"{line!r}\n{(folder / 'log').read_text('utf-8')}"
            url = line.removeprefix(PREFIX).strip()
            http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            return Running(process, url, folder / "log", store, http)

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="session")
def gateway(server: Any, start_gateway: Callable[..., Running]) -> Running:
    """A gateway without keys, which no test may stop or slow down."""
    return start_gateway(server.address, "--flush-seconds=0.05")


class Hanging:
    """A gRPC server that answers no call until it is told, and notices calls that are given up."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.cancelled = threading.Event()
        self.metadata: dict[str, Any] = {}
        self._release = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._hang)

    def _hang(self, request: bytes, context: Any) -> bytes:
        self.metadata = dict(context.invocation_metadata())
        context.add_callback(self.cancelled.set)
        self.called.set()
        self._release.wait(60)
        return b""

    def release(self) -> None:
        """Answers from now on, with nothing in it."""
        self._release.set()

    def stop(self) -> None:
        self.release()
        self._server.stop(0).wait()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """An upstream that hangs."""
    server = Hanging()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until something holds, which it must within some seconds."""

    def until(holds: Callable[[], Any], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)

    return until


@pytest.fixture(scope="session")
def events() -> Callable[[str], list[tuple[str, dict[str, Any]]]]:
    """Parses a stream's text."""
    return parse_events
