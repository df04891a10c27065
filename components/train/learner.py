"""The training step: loss, gradients and update of one batch, compiled as one function."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.train import optimizers
from components.train.decoder import Decoder
from components.train.ema import WeightAverage
from components.train.options import TrainOptions

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next step instead of handing it back.

    A step allocates and frees tens of megabytes; taking them from the kernel page by page each
    time costs a quarter of the CPU time of training a small model. Elsewhere than on glibc this
    does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def precision_policy(precision: str) -> str:
    """The Keras dtype policy: 'auto' is decided by what the hardware is fast at.

    A CPU without bfloat16 units is ten times slower in bfloat16 than in float32.
    """
    if precision != "auto":
        return precision
    if tf.config.list_logical_devices("TPU"):
        return "mixed_bfloat16"
    for device in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(device).get("compute_capability")
        if capability and capability >= (8, 0):
            return "mixed_bfloat16"
    return "float32"


class Learner:
    """A model, its optimizer, and compiled functions that train and evaluate it.

    Args:
        model: the decoder to train.
        options: learning rate, decay, clipping, steps, XLA.
        optimizer: 'muon', or 'adamw' to compare with what most recipes are written for.
        schedule: Keras' schedule of the learning rate; by default the options' own, a linear rise
            and half a cosine.
    """

    def __init__(
        self,
        model: Decoder,
        options: TrainOptions,
        optimizer: optimizers.Name = "muon",
        schedule: Any = None,
    ) -> None:
        self.model, self.options = model, options
        self.schedule = schedule or optimizers.make_schedule(options)
        self.optimizer = optimizers.make_optimizer(optimizer, model, self.schedule, options)
        averaged = [v.value for v in model.trainable_variables] if options.ema else []
        self.average = WeightAverage(averaged, options.ema)
        self._train = tf.function(self._train_step, jit_compile=options.xla)
        self._evaluate = tf.function(self._loss, jit_compile=options.xla)

    def _loss(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        hidden = self.model.hidden(windows[:, :-1], training=training)
        embedding = tf.cast(tf.convert_to_tensor(self.model.token_embedding), hidden.dtype)
        logits = tf.cast(tf.matmul(hidden, embedding, transpose_b=True), tf.float32)
        targets = tf.reshape(windows[:, 1:], [-1])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses)

    def _train_step(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        variables = self.model.trainable_variables
        loss, scaled, gradients = self._differentiate(windows)
        norm = tf.linalg.global_norm(gradients) * (loss / scaled)
        if self.options.l1:
            gradients = self._penalized(gradients, self.optimizer.scale_loss(tf.constant(1.0)))
        self.optimizer.apply(gradients, variables)
        if self.options.ema:
            self.average.update(tf.cast(self.optimizer.iterations, tf.int32) - 1)
        return loss, norm

    def _differentiate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """The loss, the loss as scaled for float16, and the gradients of the latter."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._loss(windows, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        return loss, scaled, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _penalized(self, gradients: list[tf.Tensor], scale: tf.Tensor) -> list[tf.Tensor]:
        """Adds the gradient of l1 |w|, summed over the blocks' matrices."""
        return [
            gradient + scale * self.options.l1 * tf.sign(variable.value)
            if optimizers.penalized(variable)
            else gradient
            for gradient, variable in zip(gradients, self.model.trainable_variables, strict=True)
        ]

    def train(self, windows: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """One step on windows `[batch, context + 1]`: mean loss in nats, norm of the gradient."""
        loss, norm = self._train(tf.constant(windows))
        return loss, norm

    def evaluate(self, batches: np.ndarray) -> float:
        """Mean loss in nats per token of windows `[batches, windows, context + 1]`."""
        return float(np.mean([self._evaluate(tf.constant(batch)).numpy() for batch in batches]))

    def spread_seeds(self) -> None:
        """Gives every replica its own dropout; here there is one."""

    def agree(self, step: int) -> bool:
        """Whether all who share the work stand at the same step."""
        return True

    def finish(self) -> None:
        """Training is over; nobody is waited for from here on."""

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the model holds the averaged weights, if these are wanted."""
        return self.average.in_place() if self.options.ema else contextlib.nullcontext()

    def weights(self) -> Sequence[Any]:
        """What is learnt, as variables with `numpy()` and `assign()`."""
        return list(self.model.trainable_variables)

    def variables(self) -> Iterator[tuple[str, Any]]:
        """Everything that a step changes: weights, optimizer state, random state, by name."""
        for index, variable in enumerate(self.model.variables):
            yield f"model.{index}", variable
        for index, variable in enumerate(self.optimizer.variables):
            yield f"optimizer.{index}", variable
        for index, variable in enumerate(self.average.averages):
            yield f"average.{index}", variable
