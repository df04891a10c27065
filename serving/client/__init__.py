"""A client for TensorFlow Serving's protocol that needs grpc and protobuf, not TensorFlow."""

from serving.client.client import Client
from serving.client.errors import (
    ClientError,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    ResponseError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from serving.client.types import (
    Generation,
    Metadata,
    Score,
    Signature,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "Client",
    "ClientError",
    "DeadlineError",
    "Generation",
    "InvalidRequestError",
    "Metadata",
    "ModelNotFoundError",
    "ResponseError",
    "Score",
    "ServerError",
    "Signature",
    "TensorSpec",
    "UnavailableError",
    "UnsupportedError",
    "VersionStatus",
]
