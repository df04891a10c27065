"""Start and stop of the process: one line per mistake, and nothing lost at the end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.store import open_store


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--port=70000"], "error: port: "),
        (["--upstream=nowhere"], "error: upstream: expected HOST:PORT"),
        (["--store=mysql://x"], "error: store: expected sqlite:///PATH or postgresql"),
        (["--store=sqlite:////proc/none/x.db"], "error: store: "),
        (["--config=/no/such/file"], "error: expected settings in /no/such/file"),
        (["--upstream-ca=/no/such/file"], "expected a PEM file at /no/such/file"),
        (["--models=../x"], "error: models: expected names"),
        (["--host=203.0.113.1"], "error: expected 203.0.113.1:"),
        (["--auth=maybe"], "error: argument --auth: invalid choice"),
        (["--no-such-flag"], "error: unrecognized arguments: --no-such-flag"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    flags: list[str], expected: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "serving.gateway", f"--store=sqlite:///{tmp_path}/x.db"]
    ended = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert expected in last
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "serving.gateway", f"--port={port}"]
        command += [f"--store=sqlite:///{tmp_path}/x.db"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: expected 127.0.0.1:{port} to be free to listen on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_writes_what_waits_and_exits_with_0(
    server: Any, start_gateway: Callable[..., Any], number: int
) -> None:
    gateway = start_gateway(server.address, "--flush-seconds=60")
    asked = {gateway.generate("x").json()["request_id"] for _ in range(3)}
    gateway.process.send_signal(number)
    assert gateway.process.wait(timeout=10) == 0
    store = open_store(gateway.store)
    assert {record.id for record in store.requests.recent(10)} == asked
    store.close()


def test_it_finishes_open_requests_and_takes_no_new_ones(
    hanging: Any, start_gateway: Callable[..., Any], until: Callable[..., None]
) -> None:
    gateway = start_gateway(hanging.address, "--grace-seconds=10", "--heartbeat-seconds=0.1")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(gateway.generate, "x")
        assert hanging.called.wait(10)
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{gateway.url}/healthz")
        assert gateway.process.poll() is None
        hanging.release()
        # The upstream answered with nothing; what counts is that this reply arrived.
        assert pending.result().status_code == 502
    assert gateway.process.wait(timeout=10) == 0


def test_streams_that_outlast_the_grace_are_told(
    hanging: Any, start_gateway: Callable[..., Any], events: Callable[[str], Any]
) -> None:
    gateway = start_gateway(hanging.address, "--grace-seconds=0.5", "--heartbeat-seconds=0.1")
    body = {"prompt": "x", "stream": True}
    with gateway.http.stream("POST", "/v1/generate", json=body) as reply:
        start = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        [(name, data)] = events(reply.read().decode())
    assert (name, data["error"]["code"]) == ("error", "UNAVAILABLE")
    assert gateway.process.wait(timeout=10) == 0
    assert time.monotonic() - start < 5
    assert hanging.cancelled.wait(5)
    store = open_store(gateway.store)
    [record] = store.requests.recent(10)
    assert record.code == "CANCELLED"
    store.close()


def test_it_answers_as_not_ready_while_it_is_a_lame_duck(
    server: Any, start_gateway: Callable[..., Any], until: Callable[..., None]
) -> None:
    gateway = start_gateway(server.address, "--lame-duck-seconds=1.5")
    assert gateway.http.get("/readyz").status_code == 200
    gateway.process.send_signal(signal.SIGTERM)
    until(lambda: gateway.http.get("/readyz").status_code == 503, 1)
    assert gateway.generate("x").status_code == 200
    assert gateway.process.wait(timeout=10) == 0


def test_it_starts_without_its_postgresql(server: Any, start_gateway: Callable[..., Any]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://nobody@127.0.0.1:{nobody.getsockname()[1]}/none"
        gateway = start_gateway(server.address, "--store-seconds=1", store=url)
        assert gateway.generate("x").status_code == 200
        body = {"request_id": "a", "kind": "thumbs", "value": 1}
        reply = gateway.http.post("/v1/feedback", json=body)
        assert (reply.status_code, reply.json()["stored"]) == (503, False)
        assert gateway.stop() == 0
    assert "could not be written" in gateway.log.read_text("utf-8")


def test_it_imports_no_tensorflow() -> None:
    code = "import sys, serving.gateway.__main__; print([n for n in ('tensorflow', 'numpy', "
    code += "'opentelemetry.sdk.trace', 'components', 'pipelines') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ended.stdout.strip() == "[]", ended.stderr
