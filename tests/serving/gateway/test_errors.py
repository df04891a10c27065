"""What the errors of the model server and of bodies become."""

from __future__ import annotations

import grpc
import pytest

from serving.client import ClientError
from serving.gateway import errors
from serving.gateway.errors import ApiError


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "INVALID_ARGUMENT"),
        (grpc.StatusCode.FAILED_PRECONDITION, 400, "FAILED_PRECONDITION"),
        (grpc.StatusCode.NOT_FOUND, 404, "NOT_FOUND"),
        (grpc.StatusCode.UNAVAILABLE, 503, "UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, "UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.UNIMPLEMENTED, 501, "UNIMPLEMENTED"),
        (grpc.StatusCode.INTERNAL, 502, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, 502, "DATA_LOSS"),
        (grpc.StatusCode.UNAUTHENTICATED, 502, "INTERNAL"),
        (grpc.StatusCode.PERMISSION_DENIED, 502, "INTERNAL"),
        (None, 502, "INTERNAL"),
    ],
)
def test_every_code_of_the_model_server_has_its_status(
    code: grpc.StatusCode | None, status: int, name: str
) -> None:
    found = errors.from_client(ClientError("it\nbroke", code, "10.0.0.7:8500"))
    assert (found.status, found.code) == (status, name)
    assert "\n" not in found.message
    assert "10.0.0.7" not in found.message


def test_the_servers_own_words_reach_the_caller_where_they_help() -> None:
    refused = ClientError("expected x", grpc.StatusCode.INVALID_ARGUMENT, "server:1")
    assert errors.from_client(refused).message == "expected x"


def test_a_body_has_the_error_and_what_goes_with_it() -> None:
    error = ApiError("UNAVAILABLE", "down", extra={"stored": False})
    expected = {"code": "UNAVAILABLE", "message": "down", "request_id": "r1"}
    assert error.body("r1") == {"error": expected, "stored": False}
