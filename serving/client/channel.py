"""How to reach a server: targets, load balancing, retries, keepalive and TLS."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from pathlib import Path
from typing import Any

import grpc

from serving.client import errors

_EVERY_METHOD: list[dict[str, str]] = [{}]
# How a target in gRPC's own form begins.
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """When a call is sent again, by gRPC itself (gRFC A6), within the call's deadline.

    Only UNAVAILABLE is retried: the server refused the connection, closed it, or is going down.
    A model's answer depends on the request alone, so sending it again is safe; but what was
    refused for good (INVALID_ARGUMENT, NOT_FOUND), took too long (DEADLINE_EXCEEDED) or met a
    full server (RESOURCE_EXHAUSTED) would only cost more. Where many calls fail, retries stop
    until calls succeed again.

    Attributes:
        attempts: in all, 2 to 5; 1 for no retries.
        initial_backoff: upper bound of the first pause, in seconds; it doubles, with jitter.
        max_backoff: upper bound of every pause, in seconds.

    Raises:
        ValueError: a value is out of its range.
    """

    attempts: int = 4
    initial_backoff: float = 0.1
    max_backoff: float = 2.0

    def __post_init__(self) -> None:
        # gRPC would cut the attempts in silence, and fail every call for pauses of no length.
        if not 1 <= self.attempts <= 5:
            raise ValueError(f"expected attempts of 1 to 5. Received: {self.attempts}")
        for name in ("initial_backoff", "max_backoff"):
            if not 0.001 <= getattr(self, name) <= 3600:
                raise ValueError(
                    f"expected {name} of 0.001 to 3600 seconds. Received: {getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True)
class Tls:
    """An encrypted connection; with `cert` and `key` the client proves who it is (mTLS).

    Attributes:
        ca: PEM of the authorities that sign servers, as a path or bytes; None for the system's.
        cert: PEM of the client's certificate chain.
        key: PEM of its private key.
        server_name: name in the server's certificate, where it is not the address's.
    """

    ca: str | Path | bytes | None = None
    cert: str | Path | bytes | None = None
    key: str | Path | bytes | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
            ValueError: a file cannot be read, or only one of `cert` and `key` is given.
        """
        if (self.cert is None) != (self.key is None):
            raise ValueError("expected cert and key together. Received: one of them")
        return grpc.ssl_channel_credentials(_pem(self.ca), _pem(self.key), _pem(self.cert))


def _pem(source: str | Path | bytes | None) -> bytes | None:
    if source is None or isinstance(source, bytes):
        return source
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise ValueError(f"expected a PEM file at {source}. Received: {error.strerror}") from None
    if b"-----BEGIN" not in content:
        raise ValueError(f"expected a PEM file at {source}. Received: something else")
    return content


def target(address: str) -> str:
    """The address in gRPC's own form.

    Args:
        address: HOST:PORT, where a name with several addresses (a headless service) spreads the
            calls over all of them; IP:PORT,IP:PORT; or a target of gRPC's, such as `unix:/path`.

    Raises:
        AddressError: it is none of these.
    """
    if address.startswith(_SCHEMES):
        return address
    hosts = [_host(part, address) for part in address.split(",")]
    if len(hosts) == 1:
        return address
    try:
        versions = {ipaddress.ip_address(host).version for host in hosts}
    except ValueError:
        versions = set()
    if len(versions) != 1:
        raise errors.AddressError(
            f"expected a list of IP:PORT of one kind, or one name. Received: {address}"
        )
    return f"ipv{versions.pop()}:{address}"


def _host(part: str, address: str) -> str:
    """The host of HOST:PORT, without the brackets of IPv6."""
    host, _, port = part.rpartition(":")
    # gRPC would take a missing port for 443, and look for a scheme's name such as http.
    named = bool(host) and "/" not in host and (":" not in host or host.startswith("["))
    if not named or not port.isdecimal() or not 0 < int(port) < 65536:
        raise errors.AddressError(
            f"expected HOST:PORT, such as localhost:8500. Received: {address}"
        )
    return host.strip("[]")


def options(retry: RetryPolicy, tls: Tls | None, keepalive_seconds: float) -> list[tuple[str, Any]]:
    """Channel options: messages of any size, round robin, retries, keepalive."""
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retry.attempts > 1:
        policy = {
            "maxAttempts": retry.attempts,
            "initialBackoff": f"{retry.initial_backoff:.3f}s",
            "maxBackoff": f"{retry.max_backoff:.3f}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": _EVERY_METHOD, "retryPolicy": policy}]
        config["retryThrottling"] = {"maxTokens": 20, "tokenRatio": 0.2}
    chosen: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", int(retry.attempts > 1)),
        ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A server that was down is found soon after it is back.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ]
    if tls is not None and tls.server_name is not None:
        chosen.append(("grpc.ssl_target_name_override", tls.server_name))
    return chosen
