"""The training step of any family: every player's loss, gradient and update in one function."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.train.ema import WeightAverage
from components.train.families.adamw import AdamW, is_matrix
from components.train.families.family import Batch, Family, Player
from components.train.families.options import FamilyTrainOptions

FINAL_RATE_SHARE = 0.05
_FIRST_SCALE, _LAST_SCALE, _STEPS_BETWEEN_SCALES = 2.0**15, 2.0**24, 1000
# Of the seeds: training counts its steps from 0, evaluation its batches from here.
_HELD_OUT = 2**30

Scalars = dict[str, float]


def rate_at(share: float, step: int, options: FamilyTrainOptions, peak: float) -> float:
    """The learning rate of a step: a linear rise, then a half cosine down to a twentieth.

    Args:
        share: of the training that is done, 0..1: of its steps, or of its CPU seconds.
        step: from 0.
        options: `warmup_steps`.
        peak: the highest rate.
    """
    rising = min(1.0, (step + 1) / max(1, options.warmup_steps))
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return peak * rising * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * falling)


class FamilyLearner:
    """A family with its optimizers and its averaged weights.

    A player's update is left out where its loss or a part of its gradient is not finite, so
    weights never become so. In float16 that happens now and then and only lowers the scale of
    the loss; elsewhere `trouble` tells.

    Args:
        family: with its networks built.
        options: decay, penalties, clipping, average, XLA, seed.
        float16: whether the networks compute in float16, and so need the loss scaled.
    """

    def __init__(self, family: Family, options: FamilyTrainOptions, float16: bool = False) -> None:
        self.family, self.options, self.float16 = family, options, float16
        self.networks = family.networks()
        self.players = family.players()
        self.rows = options.batch_size * sum(player.updates for player in self.players)
        self._optimizers = {
            player.name: AdamW(
                player.variables,
                beta_1=player.beta_1,
                beta_2=player.beta_2,
                weight_decay=options.weight_decay,
            )
            for player in self.players
        }
        everything = [v.value for network in self.networks.values() for v in network.variables]
        self._weights = list({id(variable): variable for variable in everything}.values())
        self.average = WeightAverage(self._weights, options.ema)
        self._scale = tf.Variable(_FIRST_SCALE if float16 else 1.0, trainable=False)
        # Updates in a row that were taken, for the scale; that were left out, for `trouble`.
        self._taken = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._left_out = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._bad_loss_step = tf.Variable(-1, dtype=tf.int32, trainable=False)
        self._names: list[str] = []
        self._step = tf.function(self._train_step, jit_compile=options.xla, autograph=False)
        # A player that moves several times in a step is traced once.
        self._moves = {
            player.name: tf.function(functools.partial(self._update, player), autograph=False)
            for player in self.players
        }
        self._held_out = {
            player.name: tf.function(
                self._evaluation(player), jit_compile=options.xla, autograph=False
            )
            for player in self.players
        }

    def train(self, batch: Batch, step: int, rate: float) -> tf.Tensor:
        """One step: each player's updates in turn, on `rows` rows.

        Returns:
            float32 [N], to be read by `scalars` when wanted, so that an accelerator need not wait.
        """
        return self._step(batch, tf.constant(step), tf.constant(rate, tf.float32))

    def scalars(self, values: tf.Tensor) -> Scalars:
        """Loss, gradient norm, share of the gradient that is not finite, the family's own."""
        return dict(zip(self._names, values.numpy().tolist(), strict=True))

    def trouble(self) -> tuple[int, int]:
        """The first step whose loss was not finite or -1; updates in a row now left out."""
        return int(self._bad_loss_step), int(self._left_out)

    def _train_step(self, batch: Batch, step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        found: dict[str, tf.Tensor] = {}
        turns = [player for player in self.players for _ in range(player.updates)]
        size = self.options.batch_size
        base = tf.random.experimental.stateless_fold_in([self.options.seed, 0], step)
        for turn, player in enumerate(turns):
            part = {name: value[turn * size : (turn + 1) * size] for name, value in batch.items()}
            seed = tf.random.experimental.stateless_fold_in(base, turn)
            found |= self._moves[player.name](part, seed, step, rate)
        self.average.update(step)
        self._names = list(found)
        return tf.stack([tf.cast(value, tf.float32) for value in found.values()])

    def _update(
        self, player: Player, batch: Batch, seed: tf.Tensor, step: tf.Tensor, rate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        variables = [variable.value for variable in player.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss, scalars = self.family.loss(player.name, batch, seed, training=True)
            scaled = loss * self._scale
        gradients = tape.gradient(scaled, variables, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) / self._scale for gradient in gradients]
        finite = [tf.reduce_sum(tf.cast(tf.math.is_finite(g), tf.float32)) for g in gradients]
        share = 1.0 - tf.add_n(finite) / float(sum(math.prod(v.shape) for v in variables))
        gradients = self._penalized(player, gradients)
        norm = tf.linalg.global_norm(gradients)
        good = tf.math.is_finite(norm) & tf.math.is_finite(loss)
        factor = self.options.clip_norm / tf.maximum(norm, self.options.clip_norm)
        clipped = [gradient * factor for gradient in gradients]
        optimizer = self._optimizers[player.name]
        tf.cond(good, lambda: self._take(optimizer, clipped, rate * player.rate), self._leave_out)
        first = ~tf.math.is_finite(loss) & (self._bad_loss_step < 0)
        self._bad_loss_step.assign(tf.where(first, step, self._bad_loss_step))
        named = {"loss": loss, "gradient_norm": norm, "gradient_not_finite": share, **scalars}
        return {self._logged(player, name): value for name, value in named.items()}

    def _penalized(self, player: Player, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Adds the gradient of l1 |w| + l2 w^2, summed over the matrices."""
        l1, l2 = self.options.l1, self.options.l2
        if not (l1 or l2):
            return list(gradients)
        return [
            gradient + l1 * tf.sign(v.value) + 2 * l2 * v.value if is_matrix(v) else gradient
            for gradient, v in zip(gradients, player.variables, strict=True)
        ]

    def _take(self, optimizer: AdamW, gradients: list[tf.Tensor], rate: tf.Tensor) -> tf.Tensor:
        optimizer.apply(gradients, rate)
        self._left_out.assign(0)
        taken = self._taken.assign_add(1)
        if self.float16:
            raised = tf.equal(taken % _STEPS_BETWEEN_SCALES, 0)
            grown = tf.minimum(self._scale * 2, _LAST_SCALE)
            self._scale.assign(tf.where(raised, grown, self._scale))
        return tf.constant(True)

    def _leave_out(self) -> tf.Tensor:
        self._left_out.assign_add(1)
        self._taken.assign(0)
        if self.float16:
            self._scale.assign(tf.maximum(self._scale / 2, 1.0))
        return tf.constant(False)

    def _logged(self, player: Player, name: str) -> str:
        return name if len(self.players) == 1 else f"{player.name}.{name}"

    def _evaluation(self, player: Player) -> Any:
        def evaluate(batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            loss, scalars = self.family.loss(player.name, batch, seed, training=False)
            return {"loss": loss, **scalars}

        return evaluate

    def evaluate(self, batches: Sequence[Batch]) -> Scalars:
        """Mean loss and scalars of every player on held-out batches, the same noise each time."""
        sums: dict[str, list[float]] = {}
        for index, batch in enumerate(batches):
            seed = tf.constant([self.options.seed, _HELD_OUT + index])
            for player in self.players:
                for name, value in self._held_out[player.name](batch, seed).items():
                    sums.setdefault(self._logged(player, name), []).append(float(value))
        return {name: float(np.mean(values)) for name, values in sums.items()}

    @property
    def loss_name(self) -> str:
        """What the first player's loss is called among the scalars."""
        return self._logged(self.players[0], "loss")

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the networks hold the averaged weights, if these are wanted."""
        return self.average.in_place() if self.options.ema else contextlib.nullcontext()

    def weights(self) -> list[tf.Variable]:
        """Every variable of the networks, in an order that is the same for the same family."""
        return self._weights

    def variables(self) -> Iterator[tuple[str, Any]]:
        """Everything that a step changes, by name."""
        groups = {
            "weights": self._weights,
            "average": self.average.averages,
            "learner": [self._scale, self._taken, self._left_out, self._bad_loss_step],
        }
        for name, optimizer in self._optimizers.items():
            groups[f"optimizer.{name}"] = [optimizer.updates, *optimizer.moments]
        for group, variables in groups.items():
            for index, variable in enumerate(variables):
                yield f"{group}.{index}", variable
