"""API keys: who gets in, what each may see and spend, and how soon a revocation counts."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.store import Store, open_store


@dataclasses.dataclass
class Guarded:
    """A gateway that wants keys, and its store."""

    gateway: Any
    store: Store

    def headers(self, **limits: Any) -> dict[str, str]:
        _, secret = self.store.keys.create("test", **limits)
        return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def guarded(
    server: Any, start_gateway: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    url = f"sqlite:///{tmp_path_factory.mktemp('keys') / 'gateway.db'}"
    store = open_store(url)
    flags = ("--auth=keys", "--key-cache-seconds=0.3", "--flush-seconds=0.05")
    yield Guarded(start_gateway(server.address, *flags, store=url), store)
    store.close()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (None, "Received: none"),
        ("Bearer", "Received: another form"),
        ("Basic dXNlcjpwYXNz", "Received: another form"),
        ("Bearer ll_" + "x" * 1000, "Received: another form"),
        ("Bearer ll_unknown", "Received: the key is unknown"),
        ("Bearer ll_' OR 1=1 --", "Received: the key is unknown"),
    ],
)
def test_nobody_gets_in_without_a_valid_key(
    guarded: Guarded, authorization: str | None, expected: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for method, path in (
        ("POST", "/v1/generate"),
        ("POST", "/v1/score"),
        ("POST", "/v1/feedback"),
        ("POST", "/v1/models/text/predict/generate"),
        ("GET", "/v1/models"),
        ("GET", "/v1/requests"),
        ("GET", "/v1/requests/abc"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/abc"),
    ):
        body = {} if method == "POST" else None
        reply = guarded.gateway.http.request(method, path, json=body, headers=headers)
        assert reply.status_code == 401, path
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert reply.json()["error"]["code"] == "UNAUTHENTICATED"
        assert expected in reply.json()["error"]["message"]


def test_what_has_no_data_needs_no_key(guarded: Guarded) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"):
        assert guarded.gateway.http.get(path).status_code == 200, path


def test_a_key_gets_in(guarded: Guarded) -> None:
    reply = guarded.gateway.generate("x", headers=guarded.headers())
    assert reply.status_code == 200


def test_an_expired_key_is_told_so(guarded: Guarded) -> None:
    headers = guarded.headers(expires=datetime.now(UTC) + timedelta(seconds=1))
    assert guarded.gateway.generate("x", headers=headers).status_code == 200
    time.sleep(1.1)
    reply = guarded.gateway.generate("x", headers=headers)
    assert reply.status_code == 401
    assert "expired" in reply.json()["error"]["message"]
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


def test_a_revocation_counts_within_seconds(guarded: Guarded, until: Callable[..., None]) -> None:
    key, secret = guarded.store.keys.create("to be revoked")
    headers = {"Authorization": f"Bearer {secret}"}
    assert guarded.gateway.generate("x", headers=headers).status_code == 200
    guarded.store.keys.revoke(key.id)
    until(lambda: guarded.gateway.generate("x", headers=headers).status_code == 401, 3)
    reply = guarded.gateway.generate("x", headers=headers)
    assert "revoked" in reply.json()["error"]["message"]


def test_callers_see_their_own_requests_and_admins_all(guarded: Guarded) -> None:
    one, two, admin = guarded.headers(), guarded.headers(), guarded.headers(admin=True)
    request_id = guarded.gateway.generate("mine", headers=one).json()["request_id"]
    http = guarded.gateway.http

    def listed(headers: dict[str, str]) -> list[str]:
        page = http.get("/v1/requests", headers=headers).json()
        return [entry["request_id"] for entry in page["requests"]]

    assert listed(one) == [request_id]
    assert listed(two) == []
    assert request_id in listed(admin)
    path = f"/v1/requests/{request_id}"
    assert http.get(path, headers=one).status_code == 200
    assert http.get(path, headers=two).status_code == 404
    assert http.get(path, headers=admin).status_code == 200
    body = {"request_id": request_id, "kind": "thumbs", "value": 1}
    assert http.post("/v1/feedback", json=body, headers=two).status_code == 404
    assert http.post("/v1/feedback", json=body, headers=one).status_code == 201


def test_a_key_has_its_own_rate(guarded: Guarded) -> None:
    headers, others = guarded.headers(requests_per_minute=2), guarded.headers()
    replies = [guarded.gateway.generate("x", headers=headers) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["ratelimit-remaining"] for reply in replies] == ["1", "0", "0"]
    assert all(reply.headers["ratelimit-limit"] == "2" for reply in replies)
    assert 0 < int(replies[2].headers["retry-after"]) <= 30
    assert replies[2].json()["error"]["code"] == "RESOURCE_EXHAUSTED"
    free = guarded.gateway.generate("x", headers=others)
    assert free.status_code == 200
    assert "ratelimit-limit" not in free.headers


def test_a_key_has_its_own_quota_which_other_gateways_share(
    guarded: Guarded,
    server: Any,
    start_gateway: Callable[..., Any],
    until: Callable[..., None],
) -> None:
    headers = guarded.headers(tokens_per_day=100)
    spent = [
        guarded.gateway.generate("x", max_new_tokens=60, headers=headers).status_code
        for _ in range(3)
    ]
    assert spent == [200, 200, 429]
    refused = guarded.gateway.generate("x", headers=headers)
    assert "at most 100 tokens a day" in refused.json()["error"]["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    key = guarded.store.keys.find(headers["Authorization"].removeprefix("Bearer "))
    assert key is not None
    today = datetime.now(UTC).date()
    until(lambda: guarded.store.usage.tokens_today(key.id, today) == 120)
    other = start_gateway(server.address, "--auth=keys", store=guarded.gateway.store)
    assert other.generate("x", headers=headers).status_code == 429


def test_a_known_key_goes_on_while_the_database_is_down(
    server: Any, start_gateway: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.db"
    store = open_store(f"sqlite:///{path}")
    _, secret = store.keys.create("known")
    _, other = store.keys.create("not yet seen")
    store.close()
    flags = ("--auth=keys", "--key-cache-seconds=0.1", "--store-seconds=0.5")
    gateway = start_gateway(server.address, *flags, store=f"sqlite:///{path}")
    known = {"Authorization": f"Bearer {secret}"}
    assert gateway.generate("x", headers=known).status_code == 200
    blocker = sqlite3.connect(path, isolation_level=None)
    # In WAL mode readers go on under a writer: the tables must be gone to be out of reach.
    for table in ("keys", "api_keys"):
        try:
            blocker.execute(f"ALTER TABLE {table} RENAME TO hidden_{table}")
        except sqlite3.OperationalError:
            continue
    time.sleep(0.2)
    assert gateway.generate("x", headers=known).status_code == 200
    unseen = gateway.generate("x", headers={"Authorization": f"Bearer {other}"})
    assert unseen.status_code == 503
    assert unseen.json()["error"]["code"] == "UNAVAILABLE"
    blocker.close()


def test_admins_make_list_and_revoke_keys(guarded: Guarded, until: Callable[..., None]) -> None:
    http, admin = guarded.gateway.http, guarded.headers(admin=True)
    refused = http.get("/v1/keys", headers=guarded.headers())
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMISSION_DENIED")
    made = http.post("/v1/keys", json={"name": "app", "days": 1}, headers=admin)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    headers = {"Authorization": f"Bearer {made.json()['secret']}"}
    assert guarded.gateway.generate("x", headers=headers).status_code == 200
    [shown] = [
        key
        for key in http.get("/v1/keys", headers=admin).json()["keys"]
        if key["id"] == made.json()["id"]
    ]
    assert shown["name"] == "app"
    assert made.json()["secret"] not in str(shown)
    assert http.delete(f"/v1/keys/{shown['id']}", headers=admin).status_code == 204
    until(lambda: guarded.gateway.generate("x", headers=headers).status_code == 401, 3)
    assert http.delete("/v1/keys/unknown", headers=admin).status_code == 404


def test_secrets_are_in_no_log(guarded: Guarded) -> None:
    headers = guarded.headers()
    guarded.gateway.generate("x", headers=headers)
    secret = headers["Authorization"].removeprefix("Bearer ")
    assert secret not in guarded.gateway.log.read_text("utf-8")
