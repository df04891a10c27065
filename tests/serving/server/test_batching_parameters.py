"""A file of batching parameters is read as TensorFlow Serving reads it, mistakes told in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.server.batching_parameters import BatchingParameters, read_batching_parameters
from serving.server.errors import ConfigError


def test_without_a_file_the_defaults_hold() -> None:
    parameters = read_batching_parameters(None)
    assert parameters == BatchingParameters(
        max_batch_size=1000,
        batch_timeout_micros=0,
        max_enqueued_batches=10,
        num_batch_threads=os.cpu_count() or 1,
    )


def test_a_file_says_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(
        """
        max_batch_size { value: 32 }  # rows
        batch_timeout_micros { value: 5000 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "batches" }
        allowed_batch_sizes: 8
        allowed_batch_sizes: 16
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 16 }
        """
    )
    assert read_batching_parameters(file) == BatchingParameters(
        max_batch_size=32,
        batch_timeout_micros=5000,
        max_enqueued_batches=10,
        num_batch_threads=3,
        allowed_batch_sizes=(8, 16),
        pad_variable_length_inputs=True,
        max_execution_batch_size=16,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 9 allowed_batch_sizes: 8",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("max_batch_size { value: -1 }", "max_batch_size must be positive; was -1"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches must be positive; was 0"),
        (
            "batch_timeout_micros { value: -5 }",
            "batch_timeout_micros must be non-negative; was -5",
        ),
        (
            "max_batch_size { value: 4 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 5 }",
            "max_execution_batch_size must be positive and at most max_batch_size; was 5",
        ),
        ("max_batch_size: 8", "to hold a BatchingParameters in protobuf's text format"),
        ("batch_size { value: 8 }", "with the fields max_batch_size, batch_timeout_micros, "),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_batching_parameters(file)
    assert str(file) in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.txt"
    with pytest.raises(ConfigError, match=f"--batching_parameters_file.*{missing}"):
        read_batching_parameters(missing)
