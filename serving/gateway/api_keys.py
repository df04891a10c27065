"""API keys over HTTP, for admins: make, list, revoke."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.gateway import context
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.schemas import KeyRequest
from serving.store import Key


async def create(gateway: Gateway, request: Request) -> Response:
    """Makes a key; its secret is shown this once."""
    await _admin(gateway, request)
    body = await context.read(request, KeyRequest, gateway.settings.max_body_bytes)
    expires = None if body.days is None else datetime.now(UTC) + timedelta(days=body.days)
    key, secret = await gateway.database.run(
        lambda store: store.keys.create(
            body.name,
            expires=expires,
            requests_per_minute=body.requests_per_minute,
            tokens_per_day=body.tokens_per_day,
            admin=body.admin,
        )
    )
    return context.reply({**_shown(key), "secret": secret}, 201, {"Cache-Control": "no-store"})


async def listed(gateway: Gateway, request: Request) -> Response:
    """All keys, without their secrets, which the store does not know."""
    await _admin(gateway, request)
    keys = await gateway.database.run(lambda store: list(store.keys.list()))
    return context.reply({"keys": [_shown(key) for key in keys]})


async def revoke(gateway: Gateway, request: Request, key_id: str) -> Response:
    """Revokes a key; gateways take notice within their `key_cache_seconds`."""
    await _admin(gateway, request)
    if not await gateway.database.run(lambda store: store.keys.revoke(key_id)):
        raise ApiError("NOT_FOUND", f"expected the id of a key. Received: {key_id[:64]!r}")
    return Response(status_code=204)


async def _admin(gateway: Gateway, request: Request) -> None:
    if gateway.settings.auth != "keys":
        raise ApiError("NOT_FOUND", "this gateway has no keys; start it with --auth=keys")
    await gateway.admin(request)


def _shown(key: Key) -> dict[str, Any]:
    return {**dataclasses.asdict(key), "problem": key.problem(datetime.now(UTC))}
