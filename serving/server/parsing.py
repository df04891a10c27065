"""Handlers of gRPC calls that parse requests themselves, since gRPC keeps those it cannot parse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

# What gRPC for Python asks a call about itself.
_ATTRIBUTES = ("experimental_thread_pool", "experimental_non_blocking")


def parsed(call: Callable[..., Any], kind: Any) -> Callable[..., Any]:
    """Makes a call that takes one message into one that takes its bytes.

    A handler with a `request_deserializer` does the same, but for every request that does not
    parse gRPC 1.8x holds 15 KB until the process ends. Code and words are gRPC's own.

    Args:
        call: takes the message, the context, and what else gRPC passes.
        kind: class of the message.
    """

    def answer(raw: bytes, context: grpc.ServicerContext, *others: Any) -> Any:
        return call(_parse(raw, kind, context), context, *others)

    for name in _ATTRIBUTES:
        if hasattr(call, name):
            setattr(answer, name, getattr(call, name))
    return answer


def parsed_stream(call: Callable[..., Any], kind: Any) -> Callable[..., Any]:
    """Makes a call that takes a stream of messages into one that takes a stream of their bytes.

    Args:
        call: takes an iterator of messages and the context.
        kind: class of the messages.
    """

    def answer(stream: Iterable[bytes], context: grpc.ServicerContext) -> Any:
        return call(_parse_each(stream, kind, context), context)

    return answer


def serialized(message: Any) -> bytes:
    """A response's bytes."""
    return bytes(message.SerializeToString())


def add_handlers(server: grpc.Server, service: str, handlers: dict[str, Any]) -> None:
    """Lets a server, not started yet, answer a service's calls with these handlers, by name."""
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _parse(raw: bytes, kind: Any, context: grpc.ServicerContext) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError:
        context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")


def _parse_each(stream: Iterable[bytes], kind: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    for raw in stream:
        yield _parse(raw, kind, context)
