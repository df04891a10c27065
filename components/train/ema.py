"""A running average of weights, warmed up so that the initial weights soon leave it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from keras import ops


def decay_after(step: Any, limit: float) -> Any:
    """The decay after step t, from 0 and float32: min(limit, (1 + t) / (10 + t))."""
    return ops.minimum(limit, (1.0 + step) / (10.0 + step))


class WeightAverage:
    """The exponential average of variables; Polyak and Juditsky (1992) in its usual form.

    The decay is that of `decay_after`: a fixed 0.995 would keep two thirds of the initial weights
    over 78 steps.

    Args:
        variables: what is averaged; those that hold no floats are left alone.
        decay: the limit; 0 follows the variables at once.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float) -> None:
        self.variables = [variable for variable in variables if variable.dtype.is_floating]
        self.decay = decay
        self.averages = [
            tf.Variable(variable, trainable=False, name=f"average.{index}")
            for index, variable in enumerate(self.variables)
        ]
        self._swapped = tf.function(self._swap, autograph=False)

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages towards the variables; `step` is int32 [], from 0."""
        kept = decay_after(tf.cast(step, tf.float32), self.decay)
        for average, variable in zip(self.averages, self.variables, strict=True):
            share = tf.cast(1.0 - kept, average.dtype)
            average.assign_sub(share * (average - variable))

    def _swap(self) -> None:
        for average, variable in zip(self.averages, self.variables, strict=True):
            kept = tf.identity(variable)
            variable.assign(average)
            average.assign(kept)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the variables hold the averages."""
        self._swapped()
        try:
            yield
        finally:
            self._swapped()
