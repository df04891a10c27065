"""Feedback and history: stored before it is acknowledged, or told that it is not."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from serving.store import open_store


def give(gateway: Any, request_id: str, kind: str, **fields: Any) -> Any:
    body = {"request_id": request_id, "kind": kind, **fields}
    headers = fields.pop("headers", None)
    body.pop("headers", None)
    return gateway.http.post("/v1/feedback", json=body, headers=headers)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("thumbs", {"value": -1}),
        ("rating", {"value": 5}),
        ("comment", {"text": "<script>alert(1)</script> good"}),
        ("edit", {"text": "A better answer"}),
    ],
)
def test_feedback_is_stored_with_its_request(
    gateway: Any, kind: str, fields: dict[str, Any]
) -> None:
    request_id = gateway.generate("x").json()["request_id"]
    reply = give(gateway, request_id, kind, **fields)
    assert reply.status_code == 201
    assert reply.json()["stored"] is True
    assert reply.headers["content-type"] == "application/json"
    [kept] = gateway.http.get(f"/v1/requests/{request_id}").json()["feedback"]
    assert kept["id"] == reply.json()["feedback_id"]
    assert kept["kind"] == kind
    assert fields.items() <= kept.items()


def test_a_preference_names_both_requests(gateway: Any) -> None:
    first, second = (gateway.generate("x").json()["request_id"] for _ in range(2))
    reply = give(gateway, first, "preference", value=1, other_request_id=second)
    assert reply.status_code == 201
    [kept] = gateway.http.get(f"/v1/requests/{first}").json()["feedback"]
    assert (kept["other_request_id"], kept["value"]) == (second, 1)


def test_feedback_sent_twice_is_stored_once(gateway: Any) -> None:
    request_id = gateway.generate("x").json()["request_id"]
    replies = [give(gateway, request_id, "thumbs", value=1, feedback_id="fb-1") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 200]
    assert all(reply.json() == {"feedback_id": "fb-1", "stored": True} for reply in replies)
    assert len(gateway.http.get(f"/v1/requests/{request_id}").json()["feedback"]) == 1


def test_feedback_comes_right_after_the_answer(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    # The record would wait for a minute; feedback on it does not.
    gateway = start_gateway(server.address, "--flush-seconds=60")
    for stream in (False, True):
        if stream:
            request_id = gateway.events("x")[-1][1]["request_id"]
        else:
            request_id = gateway.generate("x").json()["request_id"]
        start = time.monotonic()
        assert give(gateway, request_id, "thumbs", value=1).status_code == 201
        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("thumbs", {"value": 0}, "expected a value of -1, 1 for thumbs"),
        ("thumbs", {}, "expected a value of -1, 1 for thumbs"),
        ("rating", {"value": 6}, "expected a value of 1, 2, 3, 4, 5 for rating"),
        ("comment", {}, "expected a text for comment"),
        ("comment", {"text": " "}, "expected a comment that says something"),
        ("comment", {"text": "x", "value": 1}, "expected no value for comment"),
        ("preference", {"value": 1}, "expected other_request_id for preference"),
        ("thumbs", {"value": 1, "other_request_id": "b"}, "expected other_request_id"),
        ("edit", {"text": "x" * 65_537}, "text: "),
        ("applause", {}, "kind: "),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(
    gateway: Any, kind: str, fields: dict[str, Any], expected: str
) -> None:
    reply = give(gateway, "a", kind, **fields)
    assert reply.status_code == 400
    assert expected in reply.json()["error"]["message"]


def test_feedback_on_an_unknown_request_is_not_stored(gateway: Any) -> None:
    reply = give(gateway, "f" * 32, "thumbs", value=1)
    assert reply.status_code == 404
    assert reply.json()["stored"] is False
    assert reply.json()["error"]["code"] == "NOT_FOUND"


def test_a_database_that_is_down_stops_feedback_but_not_generation(
    server: Any, start_gateway: Callable[..., Any], until: Callable[..., None]
) -> None:
    gateway = start_gateway(server.address, "--store-seconds=0.5", "--flush-seconds=0.05")
    before = gateway.generate("before").json()["request_id"]
    assert give(gateway, before, "thumbs", value=1).status_code == 201
    blocker = sqlite3.connect(gateway.store.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    during = gateway.generate("during")
    assert during.status_code == 200
    start = time.monotonic()
    refused = give(gateway, before, "rating", value=4, feedback_id="while-down")
    assert time.monotonic() - start < 5
    assert refused.status_code == 503
    assert refused.json()["stored"] is False
    assert refused.json()["error"]["code"] == "UNAVAILABLE"
    assert gateway.metric('loomline_gateway_feedback_total{kind="rating",stored="false"}') == 1
    assert [name for name, _ in gateway.events("streams too")][-1] == "done"
    blocker.execute("ROLLBACK")
    blocker.close()
    request_id = during.json()["request_id"]
    until(lambda: gateway.http.get(f"/v1/requests/{request_id}").status_code == 200, 30)
    again = give(gateway, before, "rating", value=4, feedback_id="while-down")
    assert again.status_code in (200, 201)
    assert again.json()["stored"] is True


def test_acknowledged_feedback_survives_a_kill(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(server.address)
    request_id = gateway.generate("x").json()["request_id"]
    acknowledged = []
    for value in (1, 2, 3, 4, 5):
        reply = give(gateway, request_id, "rating", value=value)
        assert reply.status_code == 201
        acknowledged.append(reply.json()["feedback_id"])
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait()
    store = open_store(gateway.store)
    assert {kept.id for kept in store.feedback.of_request(request_id)} == set(acknowledged)
    store.close()


def test_history_comes_in_pages_newest_first(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(server.address)
    asked = [gateway.generate(f"prompt {number}").json()["request_id"] for number in range(5)]
    seen: list[str] = []
    before: dict[str, str] = {}
    for _ in range(3):
        page = gateway.http.get("/v1/requests", params={"limit": "2", **before}).json()
        seen += [entry["request_id"] for entry in page["requests"]]
        before = {"before": page["next_before"]} if page["next_before"] else {}
    assert seen == asked[::-1]
    assert before == {}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=-1", "before=a%20b", "before=%00"]
)
def test_a_page_that_makes_no_sense_is_refused(gateway: Any, query: str) -> None:
    reply = gateway.http.get(f"/v1/requests?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "INVALID_ARGUMENT"


def test_an_unknown_request_is_not_found(gateway: Any) -> None:
    for request_id in ("f" * 32, "..%2f..", "a%00b"):
        assert gateway.http.get(f"/v1/requests/{request_id}").status_code == 404
