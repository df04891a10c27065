"""Assertions in a graph that refuse a request with one clear message."""

from __future__ import annotations

import tensorflow as tf


def require(holds: tf.Tensor, *message: object) -> tf.Operation:
    """Fails the request with the message, its parts joined, unless all of `holds` is true."""
    parts = [tf.strings.as_string(part) if _is_number(part) else part for part in message]
    parts = [part if tf.is_tensor(part) else str(part) for part in parts]
    return tf.debugging.Assert(tf.reduce_all(holds), [tf.strings.join(parts)])


def _is_number(part: object) -> bool:
    return bool(tf.is_tensor(part)) and part.dtype != tf.string  # type: ignore[attr-defined]


def first_wrong(values: tf.Tensor, holds: tf.Tensor) -> tf.Tensor:
    """The first value that does not hold, or anything if there is none."""
    wrong = tf.boolean_mask(values, ~holds)
    return tf.concat([wrong, tf.zeros([1], values.dtype)], axis=0)[0]


def one_or_as_many(name: str, value: tf.Tensor, batch: tf.Tensor, rows: str) -> tf.Operation:
    """Refuses an input that has neither one value nor one for each row.

    Args:
        name: of the input.
        value: [N].
        batch: int32 [], the number of rows.
        rows: what a row is called, such as 'prompts'.
    """
    size = tf.size(value)
    fits = (size == 1) | (size == batch)
    return require(fits, f"{name} has ", size, " values for ", batch, f" {rows}; send 1 or as many")
