"""Retention and redaction, and how a gateway without keys limits addresses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from serving.store import Feedback, RequestRecord, open_store


def old(request_id: str) -> RequestRecord:
    return RequestRecord(
        id=request_id,
        created=datetime.now(UTC) - timedelta(days=3),
        key_id=None,
        model="text",
        version=3,
        label=None,
        arm="",
        signature="generate",
        inputs={"prompt": "old"},
        outputs={"text": "old"},
        status="ok",
        code="",
        message="",
        num_tokens=1,
        latency_ms=1.0,
        first_token_ms=None,
        client_request_id=None,
        streamed=False,
    )


def test_what_is_too_old_is_deleted(
    server: Any, start_gateway: Callable[..., Any], tmp_path: Path, until: Callable[..., None]
) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    store = open_store(url)
    store.requests.add([old("plain"), old("judged")])
    store.feedback.add(
        Feedback("f", "judged", datetime.now(UTC) - timedelta(days=3), "thumbs", value=1)
    )
    gateway = start_gateway(server.address, "--retention-days=2", store=url)
    new = gateway.generate("new").json()["request_id"]
    until(lambda: store.requests.get("plain") is None)
    assert store.requests.get("judged") is not None
    assert gateway.http.get(f"/v1/requests/{new}").status_code == 200
    assert gateway.stop() == 0
    gateway = start_gateway(server.address, "--retention-days=2", "--no-keep-feedback", store=url)
    until(lambda: store.requests.get("judged") is None)
    assert store.feedback.of_request("judged") == []
    store.close()


def test_prompts_and_outputs_need_not_be_kept(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(server.address, "--no-record-prompts", "--no-record-outputs")
    reply = gateway.generate("something private")
    assert "something private" in reply.json()["text"]
    kept = gateway.http.get(f"/v1/requests/{reply.json()['request_id']}").json()
    assert (kept["inputs"], kept["outputs"]) == ({}, None)
    assert kept["num_tokens"] == 64
    assert gateway.stop() == 0
    folder = Path(gateway.store.removeprefix("sqlite:///")).parent
    assert b"something private" not in b"".join(file.read_bytes() for file in folder.iterdir())


def test_personal_data_can_be_masked(server: Any, start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway(server.address, "--mask-personal-data")
    reply = gateway.generate("Write to jane@example.org", max_new_tokens=5)
    assert "jane@example.org" in reply.json()["text"]
    kept = gateway.http.get(f"/v1/requests/{reply.json()['request_id']}").json()
    assert kept["inputs"]["prompt"] == "Write to [email]"
    assert "jane@" not in kept["outputs"]["text"]


def test_addresses_have_a_rate_where_there_are_no_keys(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(server.address, "--requests-per-minute=2")
    assert [gateway.generate("x").status_code for _ in range(3)] == [200, 200, 429]
    assert gateway.http.get("/healthz").status_code == 200
