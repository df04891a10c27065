"""What belongs to one HTTP request from its first byte to its log line, and reading its body."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from datetime import UTC, datetime
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from serving.gateway import errors
from serving.gateway.errors import ApiError
from serving.gateway.telemetry import Trace

_STATE = "loomline"
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")

Body = TypeVar("Body", bound=BaseModel)


@dataclasses.dataclass(slots=True)
class Context:
    """One request.

    Attributes:
        id: made here; the reply's X-Request-ID, under which feedback is given.
        client_id: the request's own X-Request-ID.
        headers: of the request, lower-case names.
        created: when it came, UTC.
        started: the same on the clock of `time.perf_counter`.
        reply_headers: that the reply gets whatever it is.
        fields: of its log line.
    """

    id: str
    client_id: str | None
    headers: dict[str, str]
    trace: Trace
    created: datetime
    started: float
    reply_headers: dict[str, str] = dataclasses.field(default_factory=dict)
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)

    def elapsed_ms(self) -> float:
        """Milliseconds since the request came."""
        return (time.perf_counter() - self.started) * 1000


def new_id() -> str:
    """32 hexadecimal digits that sort by time, to the millisecond: indexes stay compact."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def open_context(scope: Scope, headers: dict[str, str], trace: Trace) -> Context:
    """Makes a request's context and puts it where `of` finds it."""
    given = headers.get("x-request-id", "")
    client_id = given if _CLIENT_ID.fullmatch(given) else None
    now = datetime.now(UTC)
    context = Context(new_id(), client_id, headers, trace, now, time.perf_counter())
    scope.setdefault("state", {})[_STATE] = context
    return context


def of(request: Request) -> Context:
    """The context of a request."""
    context: Context = request.scope["state"][_STATE]
    return context


async def read(request: Request, model: type[Body], limit: int) -> Body:
    """Reads and checks a JSON body.

    Args:
        request: to read from.
        model: what the body must look like.
        limit: in bytes.

    Raises:
        ApiError: it is not JSON (415), too large (413), or not what it must be (400).
    """
    headers = of(request).headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected Content-Type: application/json. Received: {kind[:80] or 'none'}",
            status=415,
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError("INVALID_ARGUMENT", "expected a body without Content-Encoding", status=415)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
    except ClientDisconnect:
        raise ApiError("CANCELLED", "the client went away") from None
    try:
        return model.model_validate_json(b"".join(pieces))
    except ValidationError as error:
        raise errors.from_validation(error) from None


def _too_large(limit: int) -> ApiError:
    # The rest of the body is not read: the connection cannot be used again.
    return ApiError(
        "INVALID_ARGUMENT",
        f"expected a body of at most {limit} bytes. Received: more",
        status=413,
        headers={"Connection": "close"},
    )


def json_bytes(content: Any) -> bytes:
    """JSON as the gateway sends it; NaN and infinities, which JSON lacks, as null."""
    return to_json(content, inf_nan_mode="null")


def reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply."""
    return Response(json_bytes(content), status, headers, "application/json")
