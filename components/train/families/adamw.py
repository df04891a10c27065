"""AdamW by TensorFlow's fused kernels, with the rate handed in at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_EPSILON = 1e-8
_NOT_SHRUNK = ("norm", "embedding", "bias")


def is_matrix(variable: Any) -> bool:
    """Whether a Keras variable is one that regularization shrinks: it multiplies activations."""
    shrinks = not any(word in variable.path for word in _NOT_SHRUNK)
    return len(variable.shape) >= 2 and shrinks


class AdamW:
    """Adam with decoupled decay (Loshchilov and Hutter, 2019) of the matrices.

    One fused operation for each variable: written with plain operations, as an optimizer of Keras
    is, small networks spend more time launching operations than computing.

    Args:
        variables: trainable Keras variables.
        beta_1, beta_2: decay of the mean gradient and of the mean squared gradient.
        weight_decay: share of a matrix taken off in a step, as a multiple of the rate.
    """

    def __init__(
        self, variables: Sequence[Any], *, beta_1: float, beta_2: float, weight_decay: float
    ) -> None:
        self._variables = [variable.value for variable in variables]
        self._decayed = [is_matrix(variable) for variable in variables]
        self._betas = beta_1, beta_2
        self._weight_decay = weight_decay
        self.moments = [
            tf.Variable(tf.zeros_like(variable), trainable=False)
            for variable in self._variables
            for _ in range(2)
        ]
        self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        """Moves the variables; `rate` is float32 []."""
        beta_1, beta_2 = self._betas
        count = tf.cast(self.updates.assign_add(1), tf.float32)
        powers = tf.pow(beta_1, count), tf.pow(beta_2, count)
        for index, (variable, gradient) in enumerate(zip(self._variables, gradients, strict=True)):
            if self._weight_decay and self._decayed[index]:
                variable.assign_sub(rate * self._weight_decay * variable)
            mean, square = self.moments[2 * index : 2 * index + 2]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=_EPSILON,
                grad=gradient,
            )
