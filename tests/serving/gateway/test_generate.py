"""Generation, whole, and scores through a real gateway, server and store."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest


def test_a_generation_tells_all_about_itself(gateway: Any) -> None:
    reply = gateway.generate("Once", max_new_tokens=5, temperature=0, top_k=3, top_p=0.5, seed=7)
    assert reply.status_code == 200
    body = reply.json()
    assert reply.headers["x-request-id"] == body["request_id"]
    assert body.pop("latency_ms") > 0
    assert body.pop("request_id")
    assert body == {
        "model": "text",
        "version": 3,
        "label": None,
        "arm": "",
        "text": "first|7|Once",
        "num_tokens": 5,
        "logprob": 3.5,
        "seed": 7,
        "finish_reason": "length",
    }


def test_parameters_have_defaults_and_the_seed_is_told(gateway: Any) -> None:
    bodies = [gateway.generate("x").json() for _ in range(2)]
    assert bodies[0]["num_tokens"] == 64
    assert bodies[0]["logprob"] == pytest.approx(0.8 + 50 + 0.95)
    assert bodies[0]["seed"] != bodies[1]["seed"]
    again = gateway.generate("x", seed=bodies[0]["seed"]).json()
    assert again["text"] == bodies[0]["text"]


def test_a_version_may_be_asked_for(gateway: Any) -> None:
    assert gateway.generate("x", version=3).json()["version"] == 3
    missing = gateway.generate("x", version=99)
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "NOT_FOUND"


def test_what_the_model_refuses_is_the_callers_mistake(gateway: Any) -> None:
    reply = gateway.generate("x", label="no-such-label")
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert error["request_id"] == reply.headers["x-request-id"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: .*greater than or equal to 1. Received: 0"),
        ({"max_new_tokens": 5000}, "max_new_tokens of at most 4096. Received: 5000"),
        ({"max_new_tokens": "5"}, "max_new_tokens: .*valid integer. Received: '5'"),
        ({"temperature": -1}, "temperature: .*greater than or equal to 0"),
        ({"top_p": 0}, "top_p: .*greater than 0"),
        ({"top_p": 1.1}, "top_p: .*less than or equal to 1"),
        ({"seed": 2**63}, "seed: "),
        ({"tempreature": 1}, "tempreature is not a field of this request"),
        ({"version": 1, "label": "stable"}, "expected a version or a label, not both"),
        ({"prompt": None}, "prompt: .*valid string. Received: None"),
    ],
)
def test_a_mistake_in_a_body_is_one_line(
    gateway: Any, fields: dict[str, Any], expected: str
) -> None:
    body = {"prompt": "x", **fields}
    reply = gateway.http.post("/v1/generate", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert re.search(expected, error["message"]), error["message"]
    assert "\n" not in error["message"]


def test_scripts_in_prompts_come_back_as_data(gateway: Any, until: Callable[..., None]) -> None:
    prompt = "<script>alert(1)</script>\u2028\u0000é😀"
    reply = gateway.generate(prompt, seed=1)
    assert reply.status_code == 200
    assert reply.json()["text"] == f"first|1|{prompt}"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    kept = gateway.http.get(f"/v1/requests/{reply.json()['request_id']}").json()
    assert kept["inputs"]["prompt"].startswith("<script>alert(1)</script>")


def test_a_score_comes_with_bits_per_byte(gateway: Any) -> None:
    reply = gateway.http.post("/v1/score", json={"text": "abcd"})
    assert reply.status_code == 200
    body = reply.json()
    assert (body["nll"], body["num_tokens"], body["version"]) == (4.0, 5, 3)
    assert body["bits_per_byte"] == pytest.approx(1 / math.log(2))
    assert gateway.http.post("/v1/score", json={"text": ""}).json()["bits_per_byte"] is None


def test_what_was_asked_and_answered_is_recorded(gateway: Any) -> None:
    reply = gateway.generate("Recorded", max_new_tokens=3, seed=5, headers={"X-Request-ID": "my-1"})
    body = reply.json()
    kept = gateway.http.get(f"/v1/requests/{body['request_id']}").json()
    assert kept["request_id"] == body["request_id"]
    assert kept["client_request_id"] == "my-1"
    assert (kept["model"], kept["version"], kept["signature"]) == ("text", 3, "generate")
    assert (kept["status"], kept["code"], kept["num_tokens"]) == ("ok", "", 3)
    assert kept["inputs"]["prompt"] == "Recorded"
    assert kept["inputs"]["max_new_tokens"] == 3
    assert kept["outputs"]["text"] == body["text"]
    assert 0 < kept["latency_ms"] < 30_000
    assert kept["streamed"] is False


def test_a_failure_is_recorded_with_its_code(gateway: Any) -> None:
    reply = gateway.generate("x", version=98)
    kept = gateway.http.get(f"/v1/requests/{reply.json()['error']['request_id']}").json()
    assert (kept["status"], kept["code"], kept["outputs"]) == ("error", "NOT_FOUND", None)
    assert kept["message"]


def test_metrics_tell_of_calls_and_tokens(gateway: Any) -> None:
    labels = 'arm="",model="text",version="3"'
    calls = f'loomline_gateway_calls_total{{arm="",call="generate",code="OK",{labels[7:]}}}'
    tokens = f"loomline_gateway_tokens_total{{{labels}}}"
    before = gateway.metric(calls), gateway.metric(tokens)
    gateway.generate("x", max_new_tokens=11)
    assert gateway.metric(calls) == before[0] + 1
    assert gateway.metric(tokens) == before[1] + 11
    assert gateway.metric("loomline_gateway_in_flight") == 0
