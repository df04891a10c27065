"""What can go wrong between this machine and a cluster.

LoomlineError
└── KubeflowError     the cluster refused, or cannot be reached
    ├── RefusedError   it answered, and trying again would not help
    └── UnsureError    a request may or may not have been carried out
"""

from __future__ import annotations

from components.errors import LoomlineError


class KubeflowError(LoomlineError):
    """The cluster refused, or cannot be reached."""


class RefusedError(KubeflowError):
    """The cluster answered, and trying again would not help.

    Attributes:
        status: of the HTTP response.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnsureError(KubeflowError):
    """A request that changes something may or may not have been carried out."""
