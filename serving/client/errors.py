"""The exceptions of the client, each with the gRPC code and the server's own message.

ClientError
├── InvalidRequestError   the server refused what was asked (INVALID_ARGUMENT and its like)
├── ModelNotFoundError    no such model or version is served (NOT_FOUND)
├── DeadlineError         no answer within the timeout (DEADLINE_EXCEEDED)
├── UnavailableError      the server cannot be reached or is going down (UNAVAILABLE)
├── UnsupportedError      the server does not offer this call (UNIMPLEMENTED)
├── ServerError           anything else that went wrong on the server
└── ResponseError         an answer without the outputs that this client needs
"""

from __future__ import annotations

import grpc


class ClientError(Exception):
    """A call to a model server failed; `str()` is one line.

    Attributes:
        code: the gRPC status code, or None where the answer came but is unusable.
        message: the server's message, as it sent it.
        address: the server that was asked.
    """

    def __init__(
        self, message: str, code: grpc.StatusCode | None = None, address: str = ""
    ) -> None:
        self.code = code
        self.message = message
        self.address = address
        where = f"{address}: " if address else ""
        name = f"{code.name}: " if code is not None else ""
        super().__init__(" ".join(f"{where}{name}{message}".split()))


class InvalidRequestError(ClientError):
    """The server refused what was asked."""


class ModelNotFoundError(ClientError):
    """No such model or version is served."""


class DeadlineError(ClientError):
    """No answer within the timeout."""


class UnavailableError(ClientError):
    """The server cannot be reached, or is going down."""


class UnsupportedError(ClientError):
    """The server does not offer this call."""


class ServerError(ClientError):
    """Anything else that went wrong on the server."""


class ResponseError(ClientError):
    """An answer came, but without the outputs that this client needs."""


_BY_CODE: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
}


def from_rpc(error: grpc.RpcError, address: str) -> ClientError:
    """The exception that stands for a failed call."""
    code, details = error.code(), error.details() or "no message"
    return _BY_CODE.get(code, ServerError)(details, code, address)
