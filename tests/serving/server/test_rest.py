"""The HTTP server under bad callers, and its limits of time and size.

The callers write to the socket themselves: a client library would correct them.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def http(rest_server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{rest_server.address}", timeout=30) as client:
        yield client


def predict(http: httpx.Client, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return http.post("/v1/models/text:predict", content=content)


def error(response: httpx.Response) -> str:
    return str(response.json()["error"])


def exchange(address: str, data: bytes, *, seconds: float = 20) -> bytes:
    """Sends bytes; all that comes back until the server closes, or a first answer is complete."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
                head, end, body = received.partition(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n") if end else ():
                    name, _, value = line.partition(b":")
                    if name == b"content-length" and len(body) >= int(value):
                        return received
        return received


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/..",
        "/v1/models/%2e%2e",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%2Fetc%2Fpasswd",
        "/v1/models/text%00",
        "/v1/models/%ff%fe",
        "/v1/models/text/versions/3/../../..",
    ],
)
def test_no_path_leads_out_of_the_models(rest_server, path):
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    status = exchange(rest_server.address, request).split(b" ", 2)[1]
    assert status in (b"400", b"404")


def test_nested_and_large_documents_are_refused_and_the_server_goes_on(http):
    response = predict(http, b'{"instances":' + b"[" * 1_000_000)
    assert response.status_code == 400
    assert "nested too deeply" in error(response)
    response = predict(http, b"\x00\xff" * 1000)
    assert response.status_code == 400
    assert predict(http, {"signature_name": "score", "instances": ["a"]}).status_code == 200


def test_a_body_beyond_the_limit_is_refused_unread(rest_server):
    request = (
        b"POST /v1/models/text:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n"
    )
    answer = exchange(rest_server.address, request)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"expected a request of at most" in answer


def test_headers_without_end_are_refused(rest_server):
    request = b"GET /v1/models/text HTTP/1.1\r\nhost: x\r\n" + b"a: " + b"b" * 10_000_000
    assert exchange(rest_server.address, request)[:12] in (b"HTTP/1.1 400", b"")


def test_what_is_no_http_is_refused(rest_server):
    for data in (b"\x16\x03\x01\x02\x00" * 20 + b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 70_000):
        assert exchange(rest_server.address, data).startswith(b"HTTP/1.1 400 ")


def test_an_answer_that_takes_too_long_is_a_504_and_status_is_told_meanwhile(http, rest_server):
    slow = {"signature_name": "slow", "inputs": {"seconds": [3.0]}}
    url = f"http://{rest_server.address}/v1/models/text:predict"
    with futures.ThreadPoolExecutor(6) as pool:
        started = time.monotonic()
        waiting = [pool.submit(httpx.post, url, json=slow, timeout=20) for _ in range(6)]
        time.sleep(0.3)
        asked = time.monotonic()
        assert http.get("/v1/models/text").status_code == 200
        assert time.monotonic() - asked < 1
        answers = [future.result() for future in waiting]
        assert time.monotonic() - started < 2.5
    assert [answer.status_code for answer in answers] == [504] * 6
    assert error(answers[0]) == "Timed out waiting for notification"


# Limits of time and size, small enough to be waited for.


@pytest.fixture(scope="module")
def manager(saved_models, tmp_path_factory, publish: Callable[..., Path]) -> Iterator[Any]:
    from serving.server.config import single_model
    from serving.server.models import ModelManager

    base_path = tmp_path_factory.mktemp("limits") / "text"
    publish(saved_models["first"], base_path, 3)
    models = ModelManager()
    names = models.configure(single_model("text", str(base_path)))
    models.start()
    models.wait_for(names, 60)
    yield models
    models.stop()
    models.close()


@pytest.fixture
def start(manager) -> Iterator[Callable[..., Any]]:
    """Starts REST in this process."""
    from serving.server.inference import Inference
    from serving.server.metrics import ServerMetrics
    from serving.server.model_service import ModelCalls
    from serving.server.rest import start_rest

    running = []

    def start(**options: Any) -> Any:
        metrics = ServerMetrics()
        server = start_rest(
            Inference(manager, metrics=metrics),
            ModelCalls(manager),
            metrics,
            "127.0.0.1",
            0,
            **options,
        )
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop(5)


POST = b"POST /v1/models/text:predict HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("head", "trickle"),
    [(b"", POST), (POST + b"content-length: 1000\r\n\r\n", b" " * 1000)],
    ids=["headers", "body"],
)
def test_a_client_that_trickles_is_cut_off_and_holds_up_nobody(start, head, trickle):
    server = start(header_seconds=0.5, body_seconds=0.5)
    loris = []
    for _ in range(50):
        loris.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        loris[-1].sendall(head)
    stop = threading.Event()

    def trickling() -> None:
        for byte in trickle:
            for connection in loris:
                with contextlib.suppress(OSError):
                    connection.send(bytes([byte]))
            if stop.wait(0.1):
                return

    thread = threading.Thread(target=trickling)
    started = time.monotonic()
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.port}/v1/models/text"
        assert httpx.get(url, timeout=5).status_code == 200
        for connection in loris:
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(4096):
                    received += chunk
            assert received.startswith(b"HTTP/1.1 408 ") or received == b""
        assert time.monotonic() - started < 5
    finally:
        stop.set()
        thread.join()
        for connection in loris:
            connection.close()


def test_a_client_that_never_reads_its_answer_is_cut_off(start):
    server = start(unread_seconds=1.0)
    # Its answer holds the prompt, and no buffer of the kernel's holds that.
    row = {"prompt": "x" * 10_000_000, "max_new_tokens": 1, "seed": 1}
    row |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    body = json.dumps({"instances": [row]}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        head = connection.recv(200)
        assert head.startswith(b"HTTP/1.1 200 OK")
        (length,) = (line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        time.sleep(3)
        received = len(head)
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += len(chunk)
    assert received < int(length.split(b":")[1])


def test_an_answer_is_not_held_back_by_delayed_acknowledgements(start):
    url = f"http://127.0.0.1:{start().port}/v1/models/text"
    with httpx.Client() as client:
        seconds = []
        for _ in range(40):
            started = time.monotonic()
            assert client.get(url).status_code == 200
            seconds.append(time.monotonic() - started)
    # Every single one took 40 ms; the quickest shows it on a busy machine too.
    assert min(seconds) < 0.02


def test_a_body_just_within_the_limit_is_read_and_one_beyond_is_not(start):
    server = start(max_request_bytes=1000)
    url = f"http://127.0.0.1:{server.port}/v1/models/text:predict"
    body = json.dumps({"signature_name": "score", "instances": ["a"]})
    assert httpx.post(url, content=body.ljust(1000)).status_code == 200
    assert httpx.post(url, content=body.ljust(1001)).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    # In chunks nobody tells the size before.
    assert httpx.post(url, content=chunks()).status_code == 413
    bomb = gzip.compress(b" " * 100_000)
    assert len(bomb) < 1000
    response = httpx.post(url, content=bomb, headers={"content-encoding": "gzip"})
    assert response.status_code == 413


def test_other_sites_may_read_answers_only_where_they_are_let(start):
    closed, opened = start(), start(cors=True)
    url = f"http://127.0.0.1:{closed.port}/v1/models/text"
    assert "access-control-allow-origin" not in httpx.get(url).headers
    url = f"http://127.0.0.1:{opened.port}/v1/models/text"
    assert httpx.get(url).headers["access-control-allow-origin"] == "*"
    response = httpx.options(url, headers={"origin": "https://example.org"})
    assert response.status_code == 200
    assert response.headers["access-control-allow-methods"] == "POST, GET"


def test_a_taken_port_is_an_error_at_once(start):
    from serving.server.inference import Inference
    from serving.server.metrics import ServerMetrics
    from serving.server.rest import start_rest

    taken = start().port
    with pytest.raises(OSError, match="in use"):
        start_rest(Inference(None), None, ServerMetrics(), "127.0.0.1", taken)


def test_stopping_finishes_what_is_under_way_and_takes_nothing_new(start):
    server = start()
    url = f"http://127.0.0.1:{server.port}/v1/models/text:predict"
    slow = {"signature_name": "slow", "inputs": {"seconds": [1.5]}}
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, url, json=slow, timeout=20)
        time.sleep(0.5)
        started = time.monotonic()
        server.stop(10)
        assert time.monotonic() - started < 5
        assert waiting.result().status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_stopping_cuts_off_what_takes_longer_than_the_grace(start):
    server = start()
    url = f"http://127.0.0.1:{server.port}/v1/models/text:predict"
    slow = {"signature_name": "slow", "inputs": {"seconds": [6.0]}}
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, url, json=slow, timeout=20)
        time.sleep(0.5)
        started = time.monotonic()
        server.stop(1)
        assert time.monotonic() - started < 4
        with pytest.raises(httpx.HTTPError):
            waiting.result().raise_for_status()
