"""Waiting for a model: what the states seen so far mean, for the blocking and the async client."""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc

from serving.client import errors
from serving.client.types import VersionStatus

POLL_SECONDS = 0.1


class Wait:
    """A deadline, and the last thing that was seen before it."""

    def __init__(self, address: str, model: str, version: int | None, timeout: float) -> None:
        self._address, self._model, self._version = address, model, version
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._seen = "no answer yet"

    def left(self) -> float:
        """Seconds left; 0 or less when the time is over."""
        return self._deadline - time.monotonic()

    def answered(self, states: Sequence[VersionStatus]) -> int | None:
        """The newest available version among the states, if any.

        Raises:
            ServerError: the version that is waited for failed to load.
        """
        for entry in states:
            if entry.state == "AVAILABLE":
                return entry.version
        for entry in states:
            failed = entry.state == "END" and entry.error_code != "OK"
            if entry.version == self._version and failed:
                raise errors.ServerError(
                    f"version {entry.version} failed to load: {entry.error_message}",
                    None,
                    self._address,
                )
        self._seen = ", ".join(map(_described, states)) or "no version"
        return None

    def refused(self, error: errors.ClientError) -> None:
        """Takes note of an answer that is none yet.

        Raises:
            ClientError: it will never be one.
        """
        if isinstance(error, errors.CertificateError):
            raise error
        if not isinstance(error, errors.UnavailableError | errors.ModelNotFoundError):
            if not isinstance(error, errors.DeadlineError):
                raise error
            return
        self._seen = error.message

    def over(self) -> errors.DeadlineError:
        """What to raise when the time is over."""
        return errors.DeadlineError(
            f"expected model {self._model} to be available within {self._timeout:g} s. "
            f"Received: {self._seen}",
            grpc.StatusCode.DEADLINE_EXCEEDED,
            self._address,
        )


def _described(entry: VersionStatus) -> str:
    # A load that is tried again stays LOADING for minutes, but says why the last try failed.
    reason = f" ({entry.error_message})" if entry.error_message else ""
    return f"version {entry.version} is {entry.state}{reason}"
