"""Streams of text: order, equality with the whole, heartbeats, and what ends them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving.gateway.errors import ApiError
from serving.gateway.streaming import EventStream


def test_the_pieces_make_up_the_whole(gateway: Any) -> None:
    events = gateway.events("Once upon é😀", seed=7, max_new_tokens=60)
    names = [name for name, _ in events]
    assert names[0] == "start"
    assert set(names[1:-1]) == {"chunk"}
    assert len(names) > 4
    assert names[-1] == "done"
    start, done = events[0][1], events[-1][1]
    assert (start["model"], start["version"], start["seed"]) == ("text", 3, 7)
    assert done["request_id"] == start["request_id"]
    assert "".join(data["text"] for _, data in events[1:-1]) == "first|7|Once upon é😀"
    assert sum(data["num_tokens"] for _, data in events[1:-1]) == done["num_tokens"]
    assert done["finish_reason"] == "stop"
    assert done["logprob"] == -done["num_tokens"]
    assert 0 < done["first_token_ms"] <= done["latency_ms"]
    assert "text" not in done


def test_the_first_piece_is_small(gateway: Any) -> None:
    sizes = [data["num_tokens"] for name, data in gateway.events("x" * 40) if name == "chunk"]
    assert sizes[0] == 2
    assert max(sizes[1:]) > sizes[0]


def test_a_stream_that_is_cut_by_its_length_says_so(gateway: Any) -> None:
    done = gateway.events("Once upon a time", max_new_tokens=4)[-1][1]
    assert (done["num_tokens"], done["finish_reason"]) == (4, "length")


def test_headers_keep_proxies_from_holding_a_stream_back(gateway: Any) -> None:
    body = {"prompt": "x", "stream": True}
    with gateway.http.stream("POST", "/v1/generate", json=body) as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-store, no-transform"
        assert reply.headers["x-accel-buffering"] == "no"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-request-id"]
        reply.read()


def test_a_mistake_before_the_first_piece_is_an_ordinary_error(gateway: Any) -> None:
    reply = gateway.generate("x", stream=True, version=99)
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["code"] == "NOT_FOUND"


def test_line_breaks_and_scripts_cannot_make_events(gateway: Any) -> None:
    prompt = "a\n\nevent: done\ndata: {}\n\n<script>"
    events = gateway.events(prompt, seed=1, max_new_tokens=100)
    assert [name for name, _ in events].count("done") == 1
    assert "".join(data["text"] for name, data in events if name == "chunk").endswith(prompt)


def test_a_stream_is_recorded_with_its_first_token(gateway: Any) -> None:
    done = gateway.events("Streamed", seed=3)[-1][1]
    kept = gateway.http.get(f"/v1/requests/{done['request_id']}").json()
    assert kept["streamed"] is True
    assert kept["outputs"]["text"] == "first|3|Streamed"
    assert kept["first_token_ms"] == done["first_token_ms"]


def test_a_silent_stream_sends_heartbeats_then_its_error(
    hanging: Any, start_gateway: Callable[..., Any], events: Callable[[str], Any]
) -> None:
    gateway = start_gateway(hanging.address, "--heartbeat-seconds=0.2", "--timeout=1")
    with gateway.http.stream("POST", "/v1/generate", json={"prompt": "x", "stream": True}) as reply:
        text = reply.read().decode()
    assert reply.status_code == 200
    assert text.startswith(": still working\n\n")
    [(name, data)] = events(text)
    assert name == "error"
    assert data["error"]["code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_ends_the_work_of_the_model_server(
    stream: bool,
    hanging: Any,
    start_gateway: Callable[..., Any],
    until: Callable[..., None],
) -> None:
    gateway = start_gateway(hanging.address)
    url = httpx.URL(gateway.url)
    body = json.dumps({"prompt": "x", "stream": stream}).encode()
    with socket.create_connection((url.host, url.port)) as connection:
        head = f"POST /v1/generate HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert hanging.called.wait(10)
        assert not hanging.cancelled.is_set()
    assert hanging.cancelled.wait(5)
    until(lambda: gateway.http.get("/v1/requests").json()["requests"])
    [kept] = gateway.http.get("/v1/requests").json()["requests"]
    assert (kept["status"], kept["code"]) == ("error", "CANCELLED")


def test_a_client_that_does_not_read_is_given_up() -> None:
    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def write() -> None:
        await EventStream(send, write_seconds=0.1).write(b"x")

    with pytest.raises(ApiError, match="does not read") as caught:
        asyncio.run(write())
    assert caught.value.code == "CANCELLED"
