"""What an operator asks of a server: which models and versions to serve, and whether it is well."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import grpc

from serving.client import channel, errors, messages
from serving.client.channel import RetryPolicy, Tls
from serving.client.client import KEEPALIVE_SECONDS
from serving.client.protocol import RELOAD

RELOAD_TIMEOUT = 300.0
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model that a server is to serve.

    Attributes:
        name: what requests call it.
        base_path: folder of its versions, as the server sees it.
        versions: 'latest', 'all', or the versions.
        labels: versions by label; a label must name an available version.
    """

    name: str
    base_path: str
    versions: Literal["latest", "all"] | Sequence[int] = "latest"
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def message(self) -> Any:
        """As TensorFlow Serving's ModelConfig; its text form fits a --model_config_file.

        Raises:
            ValueError: `versions` is another word.
        """
        config = messages.ModelConfig(
            name=self.name,
            base_path=self.base_path,
            model_platform="tensorflow",
            version_labels=dict(self.labels),
        )
        if self.versions == "all":
            config.model_version_policy.all.SetInParent()
        elif self.versions == "latest":
            config.model_version_policy.latest.SetInParent()
        elif isinstance(self.versions, str):
            raise ValueError(f"expected 'latest', 'all' or numbers. Received: {self.versions!r}")
        else:
            config.model_version_policy.specific.versions.extend(self.versions)
        return config


def reload(
    address: str,
    models: Sequence[ModelConfig],
    *,
    timeout: float = RELOAD_TIMEOUT,
    tls: Tls | None = None,
) -> None:
    """Replaces what a server serves (HandleReloadConfigRequest).

    It returns when models that are new to the server are available. Versions of a model that is
    served already are loaded and unloaded after that: `Client.wait_until_available(version=...)`
    waits for one. Only then may a label name it.

    Args:
        address: of one server, not of a service of several.
        models: all models; one that is left out is unloaded.
        timeout: seconds for new versions to load.
        tls: how to encrypt.

    Raises:
        ClientError: the server refused, and serves what it served before, or cannot be reached.
    """
    request = messages.ReloadConfigRequest()
    request.config.model_config_list.config.extend(model.message() for model in models)
    with _channel(address, tls) as connection:
        call = connection.unary_unary(
            RELOAD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=messages.ReloadConfigResponse.FromString,
        )
        status = _called(call, request, timeout, address, tls).status
    if status.error_code != 0:
        raise errors.from_status(status.error_code, status.error_message, address)


def health(address: str, *, timeout: float = 5.0, tls: Tls | None = None) -> bool:
    """Whether a server says SERVING by gRPC's health protocol; TensorFlow Serving has none.

    Raises:
        ClientError: it cannot be reached, or does not offer the protocol.
    """
    with _channel(address, tls) as connection:
        call = connection.unary_unary(
            _HEALTH,
            request_serializer=lambda message: message,
            response_deserializer=lambda data: data,
        )
        return bool(_called(call, b"", timeout, address, tls) == _SERVING)


def _channel(address: str, tls: Tls | None) -> grpc.Channel:
    options = channel.options(RetryPolicy(), tls, KEEPALIVE_SECONDS)
    target = channel.target(address)
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, tls.credentials(), options=options)


def _called(call: Any, request: Any, timeout: float, address: str, tls: Tls | None) -> Any:
    try:
        return call(request, timeout=timeout)
    except grpc.RpcError as error:
        raise errors.from_rpc(error, address, tls) from None
