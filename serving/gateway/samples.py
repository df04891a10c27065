"""The calls for images and rows: /v1/images and /v1/rows."""

from __future__ import annotations

import base64
import csv
import io
import math
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.client import Prediction
from serving.gateway import context, predict
from serving.gateway.auth import Caller
from serving.gateway.calls import Call, cancelled_with_client
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.routing import Route
from serving.gateway.schemas import ImagesRequest, RowsRequest

_SEEDS = 2**31
_MISSING = ".missing"
# Of a table this many rows are recorded; the seed gives the others again.
_RECORDED_ROWS = 100


async def images(gateway: Gateway, request: Request) -> Response:
    """Draws images."""
    caller = await gateway.caller(request)
    body = await context.read(request, ImagesRequest, gateway.settings.max_body_bytes)
    _at_most("n", body.n, gateway.settings.max_images)
    as_image = predict.wants(request, "image/", "image")
    if as_image and body.n > 1:
        raise ApiError("INVALID_ARGUMENT", f"expected n=1 for an image itself. Received: {body.n}")
    seed = secrets.randbelow(_SEEDS) if body.seed is None else body.seed
    given = {"class": body.class_, "n": body.n, "seed": seed, "parameters": body.parameters}
    call = _open(gateway, request, caller, body, given)
    seeds = [_int64(seed + index) for index in range(body.n)]

    async def ask(route: Route) -> Prediction:
        parameters = await _parameters(gateway, call.model, route, body.parameters)
        fixed = {"label": [body.class_] * body.n, "seed": seeds}
        return await _ask(gateway, call, route, fixed, {k: [v] for k, v in parameters.items()})

    async with gateway.calls.open(call, 0):
        async with cancelled_with_client(request.receive):
            found = await gateway.calls.routed(call, ask)
        call.version = found.version
        drawn = _images(found, seeds)
        call.outputs, size = predict.kept(
            {
                "image": [one["bytes"] for one in drawn],
                "label": [one["label"] for one in drawn],
                "seed": seeds,
            },
            gateway.settings.record_bytes,
        )
        call.size += size
    if as_image:
        return predict.image({"image": drawn[0]["bytes"]}, call)
    shown = [
        {
            "b64": base64.b64encode(one["bytes"]).decode(),
            "media_type": one["media_type"],
            "class": one["label"],
            "seed": one["seed"],
        }
        for one in drawn
    ]
    return context.reply({**call.answer(), "images": shown, "seed": seed, "latency_ms": _ms(call)})


def _images(found: Prediction, seeds: list[int]) -> list[dict[str, Any]]:
    """The images of a prediction with the class and the seed of each.

    Raises:
        ApiError: the model gave something else.
    """
    tensor = found.outputs.get("image")
    files = tensor.values if tensor is not None else []
    kinds = [predict.kind(one) if isinstance(one, bytes) else None for one in files]
    if len(files) != len(seeds) or None in kinds:
        raise ApiError("INTERNAL", "expected one image for each seed from the model")
    labels = found.outputs["label"].values if "label" in found.outputs else [b""] * len(files)
    return [
        {"bytes": file, "media_type": kind, "label": _text(label), "seed": seed}
        for file, kind, label, seed in zip(files, kinds, labels, seeds, strict=True)
    ]


async def rows(gateway: Gateway, request: Request) -> Response:
    """Draws rows of a table."""
    caller = await gateway.caller(request)
    body = await context.read(request, RowsRequest, gateway.settings.max_body_bytes)
    _at_most("num_rows", body.num_rows, gateway.settings.max_rows)
    as_csv = predict.wants(request, "text/csv", "csv")
    seed = secrets.randbelow(_SEEDS) if body.seed is None else body.seed
    given: dict[str, Any] = {"num_rows": body.num_rows, "conditions": body.conditions}
    given |= {"temperature": body.temperature, "seed": seed}
    call = _open(gateway, request, caller, body, given)

    async def ask(route: Route) -> Prediction:
        fixed = {"num_rows": [body.num_rows], "conditions": body.conditions, "seed": [seed]}
        return await _ask(gateway, call, route, fixed, {"temperature": [body.temperature]})

    async with gateway.calls.open(call, 0):
        async with cancelled_with_client(request.receive):
            found = await gateway.calls.routed(call, ask)
        call.version = found.version
        choices = await gateway.upstream.choices(call.model, found.version)
        columns = _columns(found, [column.name for column in choices.columns])
        head = {name: values[:_RECORDED_ROWS] for name, values in columns.items()}
        call.outputs, size = predict.kept({**head}, gateway.settings.record_bytes)
        call.size += size
    if as_csv:
        version = {} if call.version is None else {"X-Model-Version": str(call.version)}
        headers = {**version, "X-Seed": str(seed)}
        return Response(_csv(columns), headers=headers, media_type="text/csv; charset=utf-8")
    answer = {**call.answer(), "columns": list(columns), "rows": _rows(columns), "seed": seed}
    return context.reply({**answer, "latency_ms": _ms(call)})


def _columns(found: Prediction, order: list[str]) -> dict[str, list[Any]]:
    """Columns by name in the table's order; what is missing is None.

    Raises:
        ApiError: the outputs of the model are no columns of one length.
    """
    lists = {name: tensor.values for name, tensor in found.outputs.items()}
    masks = {
        name.removesuffix(_MISSING): values
        for name, values in lists.items()
        if name.endswith(_MISSING) and name.removesuffix(_MISSING) in lists
    }
    names = [name for name in lists if name.removesuffix(_MISSING) not in masks or name in masks]
    names.sort(key=lambda name: (order.index(name) if name in order else len(order), name))
    if len({len(values) for values in lists.values()}) > 1:
        raise ApiError("INTERNAL", "expected columns of one length from the model")
    columns = {}
    for name in names:
        values = [_text(value) if isinstance(value, bytes) else value for value in lists[name]]
        mask = masks.get(name)
        columns[name] = values if mask is None else _masked(values, mask)
    return columns


def _masked(values: list[Any], mask: list[bool]) -> list[Any]:
    return [None if missing else value for value, missing in zip(values, mask, strict=True)]


def _rows(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    lines = zip(*columns.values(), strict=True)
    return [dict(zip(columns, line, strict=True)) for line in lines]


def _csv(columns: Mapping[str, list[Any]]) -> str:
    """Comma-separated values as RFC 4180 has them; what is missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _open(
    gateway: Gateway,
    request: Request,
    caller: Caller,
    body: ImagesRequest | RowsRequest,
    inputs: dict[str, Any],
) -> Call:
    model = gateway.upstream.model(body.model)
    sticky = gateway.sticky(request, caller, model)
    route = gateway.router.route(model, body.version, body.label, sticky)
    size = len(context.json_bytes(inputs))
    return Call(context.of(request), caller, "predict", model, "generate", route, inputs, size)


async def _ask(
    gateway: Gateway,
    call: Call,
    route: Route,
    fixed: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> Prediction:
    """Calls `generate`; a model need not have every input, but those that are asked for.

    Raises:
        ApiError: it has no such signature, or the call asks for an input that it has not.
        ClientError: the model refused or cannot be reached.
    """
    found = await gateway.upstream.signatures(call.model, route.version, route.label)
    generate = found.signatures.get("generate")
    rows = "num_rows" in fixed
    if generate is None or not (
        "num_rows" in generate.inputs if rows else "image" in generate.outputs
    ):
        kind = "rows, whose generate takes num_rows" if rows else "images, whose generate gives one"
        raise ApiError("INVALID_ARGUMENT", f"expected a model of {kind}. Received: {call.model}")
    inputs = {}
    for name, value in {**fixed, **parameters}.items():
        if name in generate.inputs:
            inputs[name] = value
        elif (name == "label" and any(value)) or (name == "conditions" and value):
            raise ApiError("INVALID_ARGUMENT", f"expected none of {name}: {call.model} takes none")
    return await gateway.upstream.client(call.model).predict(
        "generate",
        inputs,
        version=route.version,
        label=route.label,
        metadata=call.metadata(),
    )


async def _parameters(
    gateway: Gateway, model: str, route: Route, given: Mapping[str, float]
) -> dict[str, float]:
    """Every parameter of a family: as given, else its default, which NaN asks the model for.

    Raises:
        ApiError: the model has no such parameter.
    """
    choices = await gateway.upstream.choices(model, route.version, route.label)
    known = choices.parameters
    for name in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise ApiError(
                "INVALID_ARGUMENT", f"expected parameters of: {names}. Received: {name[:80]!r}"
            )
    defaults = {
        name: math.nan if one.default is None else one.default for name, one in known.items()
    }
    return {**defaults, **given}


def _at_most(name: str, value: int, limit: int) -> None:
    if value > limit:
        raise ApiError("INVALID_ARGUMENT", f"expected {name} of at most {limit}. Received: {value}")


def _int64(value: int) -> int:
    """Seeds go round at the end of their type."""
    return (value + 2**63) % 2**64 - 2**63


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _ms(call: Call) -> float:
    return round(call.context.elapsed_ms(), 3)
