"""Any signature as JSON, and images as images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def images(
    tmp_path_factory: pytest.TempPathFactory,
    start_server: Callable[..., Any],
    start_gateway: Callable[..., Any],
) -> Any:
    """A gateway in front of a model whose `generate` makes PNGs."""
    import tensorflow as tf

    from serving.client import Client

    class Painter(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32, "label"),
                tf.TensorSpec([None], tf.int64, "seed"),
            ]
        )
        def generate(self, label, seed):
            rows = tf.shape(label)
            return {"image": tf.broadcast_to(tf.constant(PNG), rows), "used": seed}

    base = tmp_path_factory.mktemp("painter") / "text"
    painter = Painter()
    tf.saved_model.save(painter, str(base / "1"), signatures={"generate": painter.generate})
    server = start_server(base)
    with Client(server.address, model="text") as client:
        client.wait_until_available(60)
    return start_gateway(server.address)


def call(gateway: Any, signature: str, inputs: dict[str, Any], **fields: Any) -> Any:
    body = {"inputs": inputs, **fields.pop("body", {})}
    return gateway.http.post(f"/v1/models/text/predict/{signature}", json=body, **fields)


def test_any_signature_can_be_called(gateway: Any) -> None:
    reply = call(gateway, "double", {"x": [[1, 2], [3.5, 4]]})
    assert reply.status_code == 200
    body = reply.json()
    assert body["outputs"] == {"y": [[2, 4], [7, 8]], "z": [[2, 3], [4.5, 5]]}
    assert (body["model"], body["version"], body["arm"]) == ("text", 3, "")
    assert body["request_id"] == reply.headers["x-request-id"]


def test_one_value_stands_for_one_row(gateway: Any) -> None:
    text = {"b64": base64.b64encode("h\u00e9llo".encode()).decode()}
    for value in ("h\u00e9llo", ["h\u00e9llo"], text, [text]):
        reply = call(gateway, "score", {"text": value})
        assert reply.json()["outputs"] == {"nll": [6], "num_tokens": [7]}


@pytest.mark.parametrize(
    ("signature", "inputs", "status", "expected"),
    [
        ("double", {"x": [[1, 2], [3]]}, 400, "x"),
        ("double", {"x": ["a"]}, 400, "x"),
        ("double", {}, 400, "x"),
        ("double", {"x": [[1, 2]], "more": [1]}, 400, "more"),
        ("score", {"text": {"b64": "%%%"}}, 400, "text: expected base64"),
        ("score", {"text": {"other": 1}}, 400, "text: expected an object"),
        ("no-such", {"x": [1]}, None, "no-such"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(
    gateway: Any, signature: str, inputs: dict[str, Any], status: int | None, expected: str
) -> None:
    reply = call(gateway, signature, inputs)
    assert reply.status_code in ((status,) if status else (400, 404))
    message = reply.json()["error"]["message"]
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "options", [{"headers": {"Accept": "image/png"}}, {"params": {"as": "image"}}]
)
def test_an_image_comes_as_an_image(images: Any, options: dict[str, Any]) -> None:
    reply = call(images, "generate", {"label": [1], "seed": [7]}, **options)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-model-version"] == "1"
    assert reply.content == PNG
    kept = images.http.get(f"/v1/requests/{reply.headers['x-request-id']}").json()
    assert kept["outputs"]["used"] == [7]


def test_an_image_in_json_is_base64(images: Any) -> None:
    outputs = call(images, "generate", {"label": [1], "seed": [7]}).json()["outputs"]
    assert outputs == {"image": [{"b64": base64.b64encode(PNG).decode()}], "used": [7]}
    [model] = images.http.get("/v1/models").json()["models"]
    assert (model["modality"], model["streams"]) == ("image", False)


def test_what_is_no_image_is_not_sent_as_one(gateway: Any) -> None:
    reply = call(gateway, "double", {"x": [[1, 2]]}, headers={"Accept": "image/png"})
    assert reply.status_code == 406


def test_a_large_output_is_recorded_by_its_digest(
    images: Any, start_gateway: Callable[..., Any]
) -> None:
    address = next(arg for arg in images.process.args if arg.startswith("--upstream="))
    gateway = start_gateway(address.removeprefix("--upstream="), "--record-bytes=10")
    reply = call(gateway, "generate", {"label": [1], "seed": [7]})
    kept = gateway.http.get(f"/v1/requests/{reply.json()['request_id']}").json()
    digest = hashlib.sha256(PNG).hexdigest()
    assert kept["outputs"]["image"] == [{"bytes": len(PNG), "sha256": digest}]
