"""The one exception of the gateway's handlers, and how errors of its parts become it.

Every error leaves as `{"error": {"code", "message", "request_id"}}`, where `code` is the name of a
gRPC status.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import grpc
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serving.client import ClientError

# A client that has gone gets no answer; logs and metrics show the code that nginx made usual.
CLIENT_CLOSED = 499

_STATUS: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": CLIENT_CLOSED,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_CODE = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SHOWN = 80
_SHOWN_ERRORS = 3


class ApiError(Exception):
    """A request that ends with an error.

    Args:
        code: name of a gRPC status.
        message: one line.
        status: HTTP status, where the code alone does not tell.
        headers: for the reply.
        extra: fields of the reply beside `error`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS.get(code, 500)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON of the reply."""
        error = {"code": self.code, "message": self.message, "request_id": request_id}
        return {"error": error, **self.extra}


def code_of(status: int) -> str:
    """The gRPC name for an HTTP status that the framework chose."""
    if status in _CODE:
        return _CODE[status]
    return "INTERNAL" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "INVALID_ARGUMENT"


def from_client(error: ClientError) -> ApiError:
    """The error of a call to the model server.

    An upstream that is down is 503, one whose answer makes no sense 502. The upstream's address
    stays out of the message: callers of the gateway have no use for it.
    """
    message = " ".join(error.message.split())
    if error.code is None:
        return ApiError("INTERNAL", f"the model server's answer is unusable: {message}", status=502)
    name = error.code.name
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return ApiError(
            name, "the model server cannot be reached; try again", headers={"Retry-After": "1"}
        )
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ApiError(name, "the model server did not answer in time")
    if error.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        # These are the gateway's credentials, not the caller's.
        return ApiError("INTERNAL", "the model server refused the gateway", status=502)
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ApiError(
            "UNAVAILABLE", f"the model server is busy: {message}", headers={"Retry-After": "1"}
        )
    if name not in _STATUS:
        return ApiError(name, f"the model server failed: {message}", status=502)
    return ApiError(name, message)


def from_validation(error: ValidationError) -> ApiError:
    """The first few mistakes of a body, in one line."""
    found = error.errors(include_url=False, include_context=False)
    lines = [_mistake(one) for one in found[:_SHOWN_ERRORS]]
    if len(found) > _SHOWN_ERRORS:
        lines.append(f"and {len(found) - _SHOWN_ERRORS} more")
    return ApiError("INVALID_ARGUMENT", "; ".join(lines))


def _mistake(error: ErrorDetails) -> str:
    kind, message = error["type"], error["msg"].strip()
    if kind == "json_invalid":
        return f"expected a JSON object. Received: {message[0].lower()}{message[1:]}"
    where = ".".join(str(part) for part in error["loc"]) or "the body"
    if kind == "missing":
        return f"expected {where}. Received: nothing"
    if kind == "extra_forbidden":
        return f"{where} is not a field of this request"
    received = " ".join(repr(error["input"])[: _SHOWN + 1].split())
    if len(received) > _SHOWN:
        received = received[:_SHOWN] + "…"
    return f"{where}: {message[0].lower()}{message[1:]}. Received: {received}"
