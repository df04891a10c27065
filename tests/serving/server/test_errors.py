"""A graph's error reaches the caller as one line that begins with its author's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf

from serving.server.errors import from_tensorflow, one_line


@tf.function
def asserts(value: tf.Tensor) -> None:
    tf.debugging.Assert(value > 0, ["expected n of at least 1. Received:", value, "[tokens]"])


@tf.function
def asserts_less(value: tf.Tensor) -> None:
    tf.debugging.assert_less(value, 10, message="expected n below 10")


@tf.function
def adds(value: tf.Tensor) -> tf.Tensor:
    return tf.range(value) + tf.range(3)


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        (asserts, 0, "expected n of at least 1. Received: 0 [tokens]"),
        (asserts_less, 11, "expected n below 10"),
        (adds, 2, "Incompatible shapes: [2] vs. [3]"),
    ],
)
def test_real_graph_errors_lose_their_decorations(
    tmp_path: Path, function: Any, value: int, message: str, exported: bool
) -> None:
    if exported:  # stack traces are not exported, so the text differs
        module = tf.Module()
        module.call = function
        module.call.get_concrete_function(tf.TensorSpec([], tf.int32))
        tf.saved_model.save(module, str(tmp_path))
        module = tf.saved_model.load(str(tmp_path))
        function = module.call
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        function(tf.constant(value))
    status = from_tensorflow(raised.value.error_code, raised.value.message)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT
    assert status.message == message


def test_the_first_of_several_errors_is_told() -> None:
    several = (
        "Graph execution error:\n\n2 root error(s) found.\n"
        "  (0) INVALID_ARGUMENT:  assertion failed: [no] [1]\n\t [[{{node a}}]]\n\t [[b/_2]]\n"
        "  (1) INVALID_ARGUMENT:  assertion failed: [never]\n\t [[{{node a}}]]\n"
        "0 successful operations."
    )
    assert one_line(several) == "no 1"


def test_an_empty_message_still_says_something() -> None:
    assert one_line("") == "the model failed without a message"
    assert from_tensorflow(None, "x").code == grpc.StatusCode.UNKNOWN
