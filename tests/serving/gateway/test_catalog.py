"""What a gateway says of the models behind it, and whether it is ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_models_are_described(gateway: Any) -> None:
    [model] = gateway.http.get("/v1/models").json()["models"]
    assert (model["name"], model["modality"], model["streams"]) == ("text", "text", True)
    assert model["versions"] == [{"version": 3, "state": "AVAILABLE", "labels": []}]
    generate = model["signatures"]["generate"]
    assert generate["inputs"]["prompt"] == {"dtype": "DT_STRING", "shape": [None]}
    assert generate["outputs"]["num_tokens"]["dtype"] == "DT_INT32"
    assert model["defaults"]["max_new_tokens"] == 64


def test_it_is_ready_once_the_model_is_available(
    start_server: Callable[..., Any],
    start_gateway: Callable[..., Any],
    publish: Callable[..., Path],
    saved_models: dict[str, Path],
    tmp_path: Path,
    until: Callable[..., None],
) -> None:
    (tmp_path / "text").mkdir()
    server = start_server(tmp_path / "text")
    gateway = start_gateway(server.address)
    reply = gateway.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["ready"] is False
    assert "text: " in reply.json()["reason"]
    assert gateway.http.get("/healthz").status_code == 200
    publish(saved_models["first"], tmp_path / "text", 1)
    until(lambda: gateway.http.get("/readyz").status_code == 200, 60)
    assert gateway.http.get("/readyz").json()["models"] == {"text": "AVAILABLE"}
    assert server.stop() == 0
    until(lambda: gateway.http.get("/readyz").status_code == 503)
    assert gateway.http.get("/healthz").status_code == 200
    down = gateway.generate("x")
    assert (down.status_code, down.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert down.headers["retry-after"] == "1"
    assert server.address not in down.text


def test_every_model_must_be_available(server: Any, start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway(server.address, "--models=text,other")
    reply = gateway.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["models"]["text"] == "AVAILABLE"
    assert "other: NOT_FOUND" in reply.json()["reason"]
    models = gateway.http.get("/v1/models").json()["models"]
    assert [model["name"] for model in models] == ["text", "other"]
    assert models[1]["error"]["code"] == "NOT_FOUND"


def test_an_upstream_that_hangs_costs_its_time_and_no_more(
    hanging: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(hanging.address, "--timeout=0.5", "--status-timeout=0.5")
    start = time.monotonic()
    reply = gateway.generate("x")
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "DEADLINE_EXCEEDED")
    ready = gateway.http.get("/readyz")
    assert ready.status_code == 503
    assert "DEADLINE_EXCEEDED" in ready.json()["reason"]
    assert gateway.http.get("/healthz").status_code == 200
    assert time.monotonic() - start < 5


def test_an_answer_that_is_none_is_a_bad_gateway(
    hanging: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(hanging.address)
    hanging.release()
    reply = gateway.generate("x")
    assert reply.status_code == 502
    assert "\n" not in reply.json()["error"]["message"]
