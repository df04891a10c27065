"""The gateway's main paths on a real PostgreSQL, which is killed and comes back meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serving.store import open_store


@pytest.fixture
def guarded(
    server: Any, postgresql: Any, start_gateway: Callable[..., Any]
) -> tuple[Any, dict[str, str]]:
    """A gateway with keys on a database of its own, and the headers of a key."""
    url = postgresql.new_database()
    store = open_store(url)
    _, secret = store.keys.create("mine", admin=True)
    store.close()
    # A key that was seen must not need the database while it is down.
    gateway = start_gateway(
        server.address, "--auth=keys", "--flush-seconds=0.05", "--store-seconds=2", store=url
    )
    return gateway, {"Authorization": f"Bearer {secret}"}


def test_requests_feedback_keys_and_usage_are_kept(
    guarded: tuple[Any, dict[str, str]], until: Callable[..., None]
) -> None:
    gateway, headers = guarded
    assert gateway.generate().status_code == 401
    asked = gateway.generate("Ünïcode ☃", seed=5, max_new_tokens=4, headers=headers).json()
    said = {"request_id": asked["request_id"], "kind": "rating", "value": 4, "feedback_id": "one"}
    replies = [gateway.http.post("/v1/feedback", json=said, headers=headers) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 200]
    kept = gateway.http.get(f"/v1/requests/{asked['request_id']}", headers=headers).json()
    assert kept["inputs"]["prompt"] == "Ünïcode ☃"
    assert kept["outputs"]["text"] == asked["text"]
    assert [one["value"] for one in kept["feedback"]] == [4]

    made = gateway.http.post("/v1/keys", json={"name": "other"}, headers=headers).json()
    other = {"Authorization": f"Bearer {made['secret']}"}
    assert gateway.generate(headers=other).status_code == 200
    assert gateway.http.get("/v1/requests", headers=other).json()["requests"][0]["model"] == "text"
    assert gateway.http.delete(f"/v1/keys/{made['id']}", headers=headers).status_code == 204
    until(lambda: gateway.http.get("/v1/requests", headers=other).status_code == 401)
    listed = gateway.http.get("/v1/requests?limit=1", headers=headers).json()
    assert listed["requests"][0]["request_id"] != asked["request_id"]
    before = gateway.http.get(
        f"/v1/requests?before={listed['next_before']}", headers=headers
    ).json()
    assert asked["request_id"] in [one["request_id"] for one in before["requests"]]


def test_generation_goes_on_while_the_database_is_gone_and_nothing_is_lost(
    guarded: tuple[Any, dict[str, str]], postgresql: Any, until: Callable[..., None]
) -> None:
    gateway, headers = guarded
    first = gateway.generate("before", headers=headers).json()["request_id"]
    said = {"request_id": first, "kind": "thumbs", "value": 1, "feedback_id": "thumb"}
    postgresql.stop()
    try:
        answers = [gateway.generate(f"during {index}", headers=headers) for index in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        refused = gateway.http.post("/v1/feedback", json=said, headers=headers)
        assert (refused.status_code, refused.json()["stored"]) == (503, False)
        assert gateway.http.get("/readyz").status_code == 200
        until(lambda: gateway.metric("loomline_gateway_store_up") == 0)
    finally:
        postgresql.start()
    until(
        lambda: (
            gateway.http.post("/v1/feedback", json=said, headers=headers).status_code in (200, 201)
        ),
        30,
    )
    for answer in answers:
        path = f"/v1/requests/{answer.json()['request_id']}"
        until(lambda path=path: gateway.http.get(path, headers=headers).status_code == 200, 30)
    kept = gateway.http.get(f"/v1/requests/{first}", headers=headers).json()
    assert [one["value"] for one in kept["feedback"]] == [1]
    assert gateway.stop() == 0
