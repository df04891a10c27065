"""The training step of many replicas: each differentiates its share, all apply the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from components.errors import ConfigError
from components.train.decoder import Decoder
from components.train.distribution import Distribution, told_of_lost_workers
from components.train.learner import Learner
from components.train.options import TrainOptions

# Between the seeds of two replicas: dropout must not take the same places in every share.
_SEED_STRIDE = 1_000_003


class DistributedLearner(Learner):
    """A learner whose batches are shared; the loss and weights are those of one device.

    Made within the strategy's scope, as its model is. Replica r of n gets rows r/n to (r + 1)/n of
    every batch. The gradients and the loss travel in one buffer, so a step is one all-reduce, of
    four bytes for each parameter. Clipping and the update see the mean, on every replica alike.

    Args:
        model: the decoder to train, made within the scope.
        options: as for `Learner`.
        distribution: who shares the work.
        others: as for `Learner`: `optimizer`, `schedule`.

    Raises:
        ConfigError: float16, whose scaling of the loss is not shared.
    """

    def __init__(
        self, model: Decoder, options: TrainOptions, distribution: Distribution, **others: Any
    ) -> None:
        if model.dtype_policy.compute_dtype == "float16":
            raise ConfigError(
                "train.precision: expected float32 or mixed_bfloat16 with train.distribution="
                f"{options.distribution}. Received: {options.precision}"
            )
        self._distribution = distribution
        super().__init__(model, options, **others)
        # Keras would clip each replica's gradients, then add these up; ours are the mean by then.
        self.optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: (
            gradients_and_variables
        )
        self._local = tf.function(super()._differentiate, jit_compile=options.xla)
        self._train = tf.function(self._shared_step)
        self._local_loss = tf.function(self._loss, jit_compile=options.xla)
        self._evaluate_shared = tf.function(self._shared_losses)
        self.spread_seeds()

    def _differentiate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        loss, _, gradients = self._local(windows)
        parts = [tf.reshape(tf.cast(part, tf.float32), [-1]) for part in (*gradients, loss)]
        context = tf.distribute.get_replica_context()
        mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.concat(parts, axis=0))
        parts = tf.split(mean, [part.shape[0] for part in parts])
        means = [
            tf.reshape(tf.cast(part, gradient.dtype), gradient.shape)
            for part, gradient in zip(parts, gradients, strict=False)
        ]
        loss = parts[-1][0]
        return loss, loss, means

    def _shared_step(self, windows: Any) -> tuple[tf.Tensor, tf.Tensor]:
        loss, norm = self._distribution.strategy.run(self._train_step, args=(windows,))
        local = self._distribution.strategy.experimental_local_results
        return local(loss)[0], local(norm)[0]

    def train(self, windows: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """One step on a batch `[batch, context + 1]`, of which each replica takes its share.

        Raises:
            WorkerLostError: another worker is gone.
        """
        share = len(windows) // self._distribution.replicas

        def take(context: Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group * share
            return tf.constant(windows[first : first + share])

        with told_of_lost_workers(self._distribution):
            loss, norm = self._train(self._per_replica(take))
            return tf.constant(loss.numpy()), tf.constant(norm.numpy())

    def _per_replica(self, take: Any) -> Any:
        return self._distribution.strategy.experimental_distribute_values_from_function(take)

    def _shared_losses(self, windows: Any, weight: Any) -> tf.Tensor:
        def weighted(windows: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            loss = self._local_loss(windows) * weight
            return context.all_reduce(tf.distribute.ReduceOp.SUM, loss)

        strategy = self._distribution.strategy
        losses = strategy.run(weighted, args=(windows, weight))
        return strategy.experimental_local_results(losses)[0]

    def evaluate(self, batches: np.ndarray) -> float:
        """Mean loss as of `Learner.evaluate`; every replica computes some of the batches.

        Every worker gets the same figure to the last bit, and so decides alike when to stop.

        Raises:
            WorkerLostError: another worker is gone.
        """
        replicas, total = self._distribution.replicas, 0.0
        for start in range(0, len(batches), replicas):

            def place(context: Any, start: int = start) -> int:
                return int(start + context.replica_id_in_sync_group)

            # A last round with too few batches repeats the last one, and counts it nothing.
            windows = self._per_replica(
                lambda context, place=place: tf.constant(
                    batches[min(place(context), len(batches) - 1)]
                )
            )
            weight = self._per_replica(
                lambda context, place=place: tf.constant(float(place(context) < len(batches)))
            )
            with told_of_lost_workers(self._distribution):
                total += float(self._evaluate_shared(windows, weight))
        return total / len(batches)

    def spread_seeds(self) -> None:
        """Gives every replica its own dropout, starting from what the first one would draw."""
        if not self.options.dropout:
            return

        def spread() -> None:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in self.model.non_trainable_variables:
                offset = tf.cast(tf.stack([replica * _SEED_STRIDE, 0]), state.value.dtype)
                state.value.assign(state.value + offset)

        tf.function(lambda: self._distribution.strategy.run(spread))()

    def agree(self, step: int) -> bool:
        """Whether every worker stands at the same step."""

        def difference() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            mine = tf.constant(float(step))
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, mine)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.abs(mine - mean))

        strategy = self._distribution.strategy
        with told_of_lost_workers(self._distribution):
            found = tf.function(lambda: strategy.run(difference))()
            return float(strategy.experimental_local_results(found)[0]) == 0.0

    def finish(self) -> None:
        """Waits until the chief has written the model, so that all succeed or none does.

        Raises:
            WorkerLostError: another worker is gone.
        """
        self.agree(0)
        self._distribution.watch.stop()
