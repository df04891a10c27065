"""Slow clients against a real uvicorn server with the timed protocol."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from serving import http_timeouts

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body, then answers with its length."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    protocol = http_timeouts.protocol(header_seconds=0.5, body_seconds=0.8)
    config = http_timeouts.config(
        echo_length, http=protocol, port=0, timeout_keep_alive=3, lifespan="off"
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def read_to(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


def test_a_client_that_sends_headers_forever_is_cut_off(connection: socket.socket) -> None:
    start = time.monotonic()
    connection.sendall(HEAD)
    with contextlib.suppress(OSError):
        while time.monotonic() - start < 3:
            connection.sendall(b"X-Slow: 1\r\n")
            time.sleep(0.1)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                reply = connection.recv(65536)
                break
            connection.settimeout(5)
    assert 0.4 < time.monotonic() - start < 2
    assert reply.startswith(b"HTTP/1.1 408 ")
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "DEADLINE_EXCEEDED"
    assert "complete headers within 0.5 s" in error["message"]


def test_a_client_that_sends_nothing_is_cut_off(connection: socket.socket) -> None:
    start = time.monotonic()
    assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 2


def test_a_client_that_sends_its_body_forever_is_cut_off(connection: socket.socket) -> None:
    start = time.monotonic()
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(12):
            connection.sendall(b"x")
            time.sleep(0.1)
    reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the whole body within 0.8 s" in reply
    assert time.monotonic() - start < 3


def test_a_second_request_of_a_connection_is_timed_as_well(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
    read_to(connection, b"\r\n\r\n2")
    connection.sendall(HEAD)
    start = time.monotonic()
    assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    assert 0.4 < time.monotonic() - start < 2  # sooner than an idle connection is closed


def test_an_idle_connection_outlives_the_time_for_headers(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        read_to(connection, b"\r\n\r\n2")
        time.sleep(0.7)


def test_pipelined_requests_are_answered_in_order(connection: socket.socket) -> None:
    first, second = HEAD + b"Content-Length: 2\r\n\r\n{}", HEAD + b"Content-Length: 3\r\n\r\n"
    connection.sendall(first + second)
    read_to(connection, b"\r\n\r\n2")
    connection.sendall(b"{ }")
    read_to(connection, b"\r\n\r\n3")


def test_a_pipelined_request_without_its_body_is_cut_off(connection: socket.socket) -> None:
    first, second = HEAD + b"Content-Length: 2\r\n\r\n{}", HEAD + b"Content-Length: 3\r\n\r\n"
    connection.sendall(first + second)
    start = time.monotonic()
    replies = read_all(connection)
    assert b"HTTP/1.1 200 " in replies
    assert b"HTTP/1.1 408 " in replies
    assert time.monotonic() - start < 3


def test_replies_do_not_wait_for_the_clients_receipts(connection: socket.socket) -> None:
    # Without TCP_NODELAY, which asyncio sets for some listeners only, each but the first ones takes
    # 40 ms; half of them show it on a busy machine too.
    seconds = []
    for _ in range(40):
        start = time.monotonic()
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        read_to(connection, b"\r\n\r\n2")
        seconds.append(time.monotonic() - start)
    assert sorted(seconds)[20] < 0.03
