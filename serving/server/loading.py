"""Loads and warms one version; what goes wrong becomes a status."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from serving.server.errors import StatusError, from_tensorflow, one_line
from serving.server.pacing import loading

if TYPE_CHECKING:
    from serving.server.predict import LoadedModel


@loading()
def load(path: Path, *, warmup_iterations: int) -> tuple[LoadedModel, int]:
    """Loads a version, and replays the requests that it brings along.

    Args:
        path: its folder.
        warmup_iterations: how often each request is replayed; 0 for no warmup.

    Returns:
        The model, and how many requests were replayed.

    Raises:
        StatusError: it cannot be loaded, or it refused a request.
    """
    # TensorFlow takes seconds to import, which must not delay the port.
    from serving.server.predict import LoadedModel
    from serving.server.warmup import warm_up

    try:
        model = LoadedModel(path)
    except Exception as error:
        raise _load_failure(path, error) from error
    if warmup_iterations <= 0:
        return model, 0
    try:
        return model, warm_up(model, path, iterations=warmup_iterations)
    except StatusError:
        raise
    except Exception as error:
        raise _load_failure(path, error) from error


def _load_failure(path: Path, error: Exception) -> StatusError:
    """The status of a load that failed, with TensorFlow Serving's code where that is known."""
    import tensorflow as tf

    if isinstance(error, StatusError):
        return error
    if isinstance(error, tf.errors.OpError):
        return from_tensorflow(error.error_code, error.message)
    code = grpc.StatusCode.FAILED_PRECONDITION
    if isinstance(error, MemoryError):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
    elif isinstance(error, FileNotFoundError) or not os.access(path / "saved_model.pb", os.F_OK):
        code = grpc.StatusCode.NOT_FOUND
    elif isinstance(error, OSError):
        code = grpc.StatusCode.DATA_LOSS
    return StatusError(code, one_line(str(error) or type(error).__name__))
