"""A client for TensorFlow Serving's protocol that needs grpc and protobuf, not TensorFlow."""

from serving.client.async_client import AsyncClient
from serving.client.channel import RetryPolicy, Tls
from serving.client.client import Client
from serving.client.errors import (
    AddressError,
    CertificateError,
    ClientError,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    ResponseError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from serving.client.tensors import Tensor
from serving.client.types import (
    Chunk,
    Generation,
    Metadata,
    Prediction,
    Score,
    Signature,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "AddressError",
    "AsyncClient",
    "CertificateError",
    "Chunk",
    "Client",
    "ClientError",
    "DeadlineError",
    "Generation",
    "InvalidRequestError",
    "Metadata",
    "ModelNotFoundError",
    "Prediction",
    "ResponseError",
    "RetryPolicy",
    "Score",
    "ServerError",
    "Signature",
    "Tensor",
    "TensorSpec",
    "Tls",
    "UnavailableError",
    "UnsupportedError",
    "VersionStatus",
]
