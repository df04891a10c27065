"""`--batching_parameters_file`: how large batches grow, and how long requests wait for them."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

from serving.server.errors import ConfigError
from serving.server.text_protos import read_text_proto

_FLAG = "--batching_parameters_file"


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """TensorFlow Serving's BatchingParameters with its defaults.

    Attributes:
        max_batch_size: rows of a batch, and of a request, at most.
        batch_timeout_micros: how long a first request waits for more.
        max_enqueued_batches: batches of a signature that may wait for a thread.
        num_batch_threads: batches that run at the same time.
        allowed_batch_sizes: sizes that batches are padded to; none: any size.
        pad_variable_length_inputs: pads requests of one batch to a common shape.
        max_execution_batch_size: larger batches run in pieces of so many rows; 0: whole.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        """Refuses parameters that make no sense.

        Raises:
            ConfigError: one is out of range, or `allowed_batch_sizes` does not end with the
                largest batch.
        """
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ConfigError(
                f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if any(later <= size for size, later in itertools.pairwise(sizes)):
            raise ConfigError("allowed_batch_sizes entries must be monotonically increasing")
        largest = self.max_execution_batch_size or self.max_batch_size
        if largest > self.max_batch_size or largest < 1:
            raise ConfigError(
                "max_execution_batch_size must be positive and at most max_batch_size; "
                f"was {largest}"
            )
        if sizes and sizes[-1] != largest:
            raise ConfigError(
                "Last entry in allowed_batch_sizes must match max_batch_size; "
                f"last entry was {sizes[-1]}; expected {largest}"
            )


def read_batching_parameters(path: Path | None) -> BatchingParameters:
    """Reads a BatchingParameters file in protobuf's text format; None: the defaults.

    Raises:
        ConfigError: it cannot be read, or it makes no sense.
    """
    if path is None:
        return BatchingParameters()
    message = read_text_proto(Path(path), "BatchingParameters", _FLAG)
    given: dict[str, Any] = {
        name: getattr(message, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
        )
        if message.HasField(name)
    }
    if message.enable_large_batch_splitting.value:
        largest = (
            message.max_execution_batch_size
            if message.HasField("max_execution_batch_size")
            else message.max_batch_size
        )
        given["max_execution_batch_size"] = largest.value
    try:
        return BatchingParameters(
            **given,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
        )
    except ConfigError as error:
        raise ConfigError(f"{path} ({_FLAG}): {error}") from None
