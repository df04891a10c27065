"""Any signature of any model as JSON; an output that is an image also as the image itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.client import Prediction
from serving.gateway import context
from serving.gateway.calls import Call, cancelled_with_client
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.routing import Route
from serving.gateway.schemas import PredictRequest
from serving.gateway.settings import MODEL_NAME

# What a file begins with tells its type; nothing that a browser would run is among them.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


async def predict(gateway: Gateway, request: Request, model: str, signature: str) -> Response:
    """Calls a signature."""
    caller = await gateway.caller(request)
    body = await context.read(request, PredictRequest, gateway.settings.max_body_bytes)
    name = gateway.upstream.model(model)
    if not MODEL_NAME.fullmatch(signature):
        raise ApiError("NOT_FOUND", "expected the name of a signature")
    inputs = {key: _decoded(key, value) for key, value in body.inputs.items()}
    route = gateway.router.route(
        name, body.version, body.label, gateway.sticky(request, caller, name)
    )
    limit = gateway.settings.record_bytes
    recorded, size = kept(inputs, limit)
    call = Call(context.of(request), caller, "predict", name, signature, route, recorded, size)

    async def ask(route: Route) -> Prediction:
        return await gateway.upstream.client(name).predict(
            signature,
            inputs,
            version=route.version,
            label=route.label,
            metadata=call.metadata(),
        )

    async with gateway.calls.open(call, 0):
        async with cancelled_with_client(request.receive):
            found = await gateway.calls.routed(call, ask)
        call.version = found.version
        outputs = {key: tensor.tolist() for key, tensor in found.outputs.items()}
        call.outputs, size = kept(outputs, limit)
        call.size += size
    if wants(request, "image/", "image"):
        return image(outputs, call)
    shown = {key: _encoded(value) for key, value in outputs.items()}
    latency = round(call.context.elapsed_ms(), 3)
    return context.reply({**call.answer(), "outputs": shown, "latency_ms": latency})


def _decoded(name: str, value: Any) -> Any:
    """An input as the client takes it: one row if it is not a list, and bytes for base64.

    Raises:
        ApiError: base64 that is none, or an object that is something else.
    """
    rows = value if isinstance(value, list) else [value]
    return [_element(name, row) for row in rows]


def _element(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_element(name, one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"b64"} or not isinstance(value["b64"], str):
        raise ApiError("INVALID_ARGUMENT", f'{name}: expected an object to be {{"b64": "..."}}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("INVALID_ARGUMENT", f"{name}: expected base64 ({error})") from None


def _encoded(value: Any) -> Any:
    """An output as JSON: bytes that are UTF-8 as a string, others as base64."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_encoded(one) for one in value]
    return value


def kept(values: Mapping[str, Any], limit: int) -> tuple[dict[str, Any], int]:
    """What is recorded of inputs or outputs, and about how many bytes that is."""
    found = {name: _recorded(value, limit) for name, value in values.items()}
    return found, len(context.json_bytes(found))


def _recorded(value: Any, limit: int) -> Any:
    if isinstance(value, bytes) and len(value) > limit:
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, list):
        return [_recorded(one, limit) for one in value]
    return _encoded(value)


def wants(request: Request, kind: str, name: str) -> bool:
    """Whether a request asks for something else than JSON, by `?as=` or by what it accepts first.

    Args:
        request: with its parameters and headers.
        kind: how the media type begins.
        name: of `?as=`.

    Raises:
        ApiError: `?as=` names something else.
    """
    asked = request.query_params.get("as")
    if asked not in (None, "json", name):
        raise ApiError("INVALID_ARGUMENT", f"expected as=json or as={name}. Received: {asked[:20]}")
    if asked is not None:
        return asked == name
    accepted = context.of(request).headers.get("accept", "")
    kinds = [each.partition(";")[0].strip().lower() for each in accepted.split(",")]
    return kinds[0].startswith(kind)


def image(outputs: Mapping[str, Any], call: Call) -> Response:
    """The first image among the outputs.

    Raises:
        ApiError: there is none (406).
    """
    for value in outputs.values():
        for element in _flat(value):
            if isinstance(element, bytes) and (found := kind(element)):
                version = {} if call.version is None else {"X-Model-Version": str(call.version)}
                return Response(element, headers=version, media_type=found)
    raise ApiError(
        "INVALID_ARGUMENT", "expected a signature whose output is an image, or as=json", status=406
    )


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def kind(data: bytes) -> str | None:
    """The media type of an image's file; None for anything else."""
    for start, found in _IMAGES:
        if data.startswith(start):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
