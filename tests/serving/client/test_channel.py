"""Targets, retries, deadlines and round robin, against gRPC servers of the test's own."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.client import (
    AddressError,
    Client,
    ClientError,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    RetryPolicy,
    ServerError,
    UnavailableError,
    UnsupportedError,
    channel,
    messages,
)

SOON = RetryPolicy(initial_backoff=0.01, max_backoff=0.05)


def status(*_: Any) -> bytes:
    response = messages.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=30)
    return bytes(response.SerializeToString())


def failing(code: grpc.StatusCode, times: int) -> Callable[..., bytes]:
    """Fails so many times, then answers."""
    left = [code] * times

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        if left:
            context.abort(left.pop(), "not now")
        return status()

    return answer


def test_unavailable_is_retried_until_it_is_not(serve: Callable[..., Any]) -> None:
    stub = serve(failing(grpc.StatusCode.UNAVAILABLE, 3))
    with Client(stub.address, retry=SOON) as client:
        assert client.status(timeout=10)[0].version == 1
    assert len(stub.calls) == 4
    assert len(set(stub.requests)) == 1


def test_retries_end_after_the_attempts_that_were_asked_for(serve: Callable[..., Any]) -> None:
    stub = serve(failing(grpc.StatusCode.UNAVAILABLE, 100))
    with Client(stub.address, retry=SOON) as client:
        with pytest.raises(UnavailableError) as raised:
            client.status(timeout=10)
        assert len(stub.calls) == 4
        assert str(raised.value) == f"{stub.address}: UNAVAILABLE: not now"
    with Client(stub.address, retry=RetryPolicy(attempts=2, initial_backoff=0.01)) as client:
        with pytest.raises(UnavailableError):
            client.status(timeout=10)
        assert len(stub.calls) == 6
    with Client(stub.address, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(UnavailableError):
            client.status(timeout=10)
        assert len(stub.calls) == 7


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
        (grpc.StatusCode.FAILED_PRECONDITION, InvalidRequestError),
        (grpc.StatusCode.NOT_FOUND, ModelNotFoundError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerError),
        (grpc.StatusCode.INTERNAL, ServerError),
        (grpc.StatusCode.UNIMPLEMENTED, UnsupportedError),
    ],
)
def test_other_failures_are_never_retried(
    serve: Callable[..., Any], code: grpc.StatusCode, kind: type[ClientError]
) -> None:
    stub = serve(failing(code, 1))
    with Client(stub.address, retry=SOON) as client:
        with pytest.raises(kind) as raised:
            client.status(timeout=10)
        assert type(raised.value) is kind
        assert (raised.value.code, raised.value.message) == (code, "not now")
        assert len(stub.calls) == 1
        # The next call is a new one.
        assert client.status(timeout=10)[0].version == 1


def test_retries_do_not_outlast_the_deadline(serve: Callable[..., Any]) -> None:
    stub = serve(failing(grpc.StatusCode.UNAVAILABLE, 100))
    slowly = RetryPolicy(attempts=5, initial_backoff=30, max_backoff=30)
    started = time.monotonic()
    with Client(stub.address, retry=slowly) as client, pytest.raises(ClientError):
        client.status(timeout=0.5)
    assert time.monotonic() - started < 5


def test_a_server_that_hangs_meets_the_deadline_and_is_told(serve: Callable[..., Any]) -> None:
    ended = threading.Event()

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(ended.set)
        ended.wait(20)
        return status()

    stub = serve(answer)
    with Client(stub.address, timeout=0.3) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineError, match=stub.address):
            client.status()
        assert 0.25 < time.monotonic() - started < 5
        assert ended.wait(5)
        assert len(stub.calls) == 1


def test_a_port_where_nobody_listens_fails_within_the_deadline(free_address: str) -> None:
    started = time.monotonic()
    with Client(free_address) as client, pytest.raises(UnavailableError) as raised:
        client.status(timeout=10)
    assert time.monotonic() - started < 10
    assert str(raised.value).startswith(f"{free_address}: UNAVAILABLE: ")
    assert "Connection refused" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_comes_back_is_found_again(serve: Callable[..., Any]) -> None:
    first = serve(status)
    with Client(first.address, timeout=20) as client:
        assert client.status()[0].version == 1
        first.stop()
        with pytest.raises(UnavailableError):
            client.status(timeout=2)
        second = serve(status, first.address)
        assert client.wait_until_available(15) == 1
        assert second.calls


def test_calls_go_round_all_servers_and_around_a_dead_one(serve: Callable[..., Any]) -> None:
    stubs = [serve(status), serve(status)]
    with Client(",".join(stub.address for stub in stubs), timeout=10) as client:
        deadline = time.monotonic() + 10
        while not all(stub.calls for stub in stubs) and time.monotonic() < deadline:
            client.status()
        before = [len(stub.calls) for stub in stubs]
        for _ in range(20):
            client.status()
        # Once both are connected, they take turns.
        assert [len(stub.calls) - count for stub, count in zip(stubs, before, strict=True)] == [
            10,
            10,
        ]
        stubs[0].stop()
        count = len(stubs[1].calls)
        for _ in range(20):
            assert client.status()[0].version == 1
        assert len(stubs[1].calls) - count == 20


def test_a_unix_socket(serve: Callable[..., Any], tmp_path: Path) -> None:
    stub = serve(status, f"unix:{tmp_path}/s")
    with Client(stub.address, timeout=10) as client:
        assert client.status()[0].version == 1
    assert Counter(stub.calls) == {"/tensorflow.serving.ModelService/GetModelStatus": 1}


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:8500", "localhost:8500"),
        ("[::1]:8500", "[::1]:8500"),
        ("10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("dns:///models.default.svc:8500", "dns:///models.default.svc:8500"),
        ("unix:/run/a,b", "unix:/run/a,b"),
    ],
)
def test_addresses_become_targets(address: str, target: str) -> None:
    assert channel.target(address) == target


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        ":8500",
        "::1:8500",
        "localhost:grpc",
        "localhost:0",
        "localhost:65536",
        "http://localhost:8501",
        "10.0.0.1:1,",
        "10.0.0.1:1,10.0.0.2",
    ],
)
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    with pytest.raises(AddressError, match=r"expected HOST:PORT, .* Received:") as raised:
        Client(address)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, ClientError)
    assert str(raised.value).endswith(f"Received: {address}".strip())


@pytest.mark.parametrize("address", ["a:1,b:2", "10.0.0.1:1,[::1]:2", "10.0.0.1:1,b:2"])
def test_a_list_of_names_or_of_two_kinds_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="expected a list of IP:PORT of one kind"):
        channel.target(address)


def test_a_retry_policy_that_grpc_would_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected attempts of 1 to 5\. Received: 6"):
        RetryPolicy(attempts=6)
    with pytest.raises(ValueError, match="expected initial_backoff"):
        RetryPolicy(initial_backoff=0)
    with pytest.raises(ValueError, match="expected max_backoff"):
        RetryPolicy(max_backoff=float("nan"))


def test_messages_may_be_of_any_size(serve: Callable[..., Any]) -> None:
    big = messages.GetModelStatusResponse()
    # More than the 4 MB that gRPC takes by default, without options on the client's side.
    big.model_version_status.add(version=1).status.error_message = "x" * 5_000_000
    stub = serve(lambda *_: bytes(big.SerializeToString()))
    with Client(stub.address, timeout=20) as client:
        assert len(client.status()[0].error_message) == 5_000_000


def test_pauses_are_written_as_protobuf_wants_them() -> None:
    policy = RetryPolicy(initial_backoff=0.001, max_backoff=3600)
    config = json.loads(dict(channel.options(policy, None, 330))["grpc.service_config"])
    retry = config["methodConfig"][0]["retryPolicy"]
    assert (retry["initialBackoff"], retry["maxBackoff"]) == ("0.001s", "3600.000s")
