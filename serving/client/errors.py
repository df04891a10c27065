"""The exceptions of the client, each with the gRPC code and the server's own message.

ClientError
├── InvalidRequestError   the server refused what was asked (INVALID_ARGUMENT and its like)
├── ModelNotFoundError    no such model or version is served (NOT_FOUND)
├── DeadlineError         no answer within the timeout (DEADLINE_EXCEEDED)
├── UnavailableError      the server cannot be reached or is going down (UNAVAILABLE)
│   └── CertificateError  one side does not trust the other's certificate
├── UnsupportedError      the server does not offer this call (UNIMPLEMENTED)
├── ServerError           anything else that went wrong on the server
├── ResponseError         an answer without the outputs that this client needs
└── AddressError          what was given as an address is none; also a ValueError
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from serving.client.channel import Tls


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


class CertificateError(UnavailableError):
    """One side does not trust the other's certificate, or one side speaks no TLS."""


class UnsupportedError(ClientError):
    """The server does not offer this call."""


class ServerError(ClientError):
    """Anything else that went wrong on the server."""


class ResponseError(ClientError):
    """An answer came, but without the outputs that this client needs."""


class AddressError(ClientError, ValueError):
    """What was given as an address is none; nothing was sent."""


_BY_CODE: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
}


# What gRPC's own words mean; the first that is found.
_CERTIFICATE_PROBLEMS = {
    "certificate has expired": "the server's certificate has expired",
    "Hostname Verification Check failed": "the server's certificate is for another name",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not signed by the given authority",
    "WRONG_VERSION_NUMBER": "the server speaks no TLS",
    "SSL routines": "there is no trust between the server and this client",
}
# No server of those that are known takes connections: the last one was closed before anything was
# said on it. With TLS, the client's side of the handshake was over by then: a server judges the
# client's certificate after that, and says nothing to those that it turns away. One that was closed
# during the handshake reads "Handshake read failed (Socket closed)", and does not match.
_CLOSED_AT_ONCE = re.compile(
    r"backends failing; .*(Socket closed|Connection reset by peer( \(\d+\))?)$"
)


def from_status(code: int, message: str, address: str) -> ClientError:
    """The exception for a status inside an answer, by its number."""
    named = next((one for one in grpc.StatusCode if one.value[0] == code), grpc.StatusCode.UNKNOWN)
    return _BY_CODE.get(named, ServerError)(message, named, address)


def from_rpc(error: grpc.RpcError, address: str, tls: Tls | None = None) -> ClientError:
    """The exception that stands for a failed call, over a connection with or without TLS."""
    code, details = error.code(), error.details() or "no message"
    if code == grpc.StatusCode.UNAVAILABLE:
        if tls is not None and (problem := _certificate_problem(details, tls)):
            return CertificateError(f"{problem} ({details})", code, address)
        if tls is None and _CLOSED_AT_ONCE.search(details):
            details += " (is it a server with TLS? then give Tls(ca=...))"
    return _BY_CODE.get(code, ServerError)(details, code, address)


def _certificate_problem(details: str, tls: Tls) -> str | None:
    for sign, meaning in _CERTIFICATE_PROBLEMS.items():
        if sign in details:
            return meaning
    if not _CLOSED_AT_ONCE.search(details):
        return None
    if tls.cert is None:
        return "the server asks for a client certificate; give Tls(cert=..., key=...)"
    return "the server does not trust the client's certificate"
