"""The training step of a model that lies in parts on many devices, as one JAX function."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import ops

from components.train import optimizers
from components.train.decoder import columns_by_head
from components.train.ema import decay_after
from components.train.learners import make_decoder
from components.train.mesh import make_mesh, precision_policy
from components.train.options import TrainOptions

_State = tuple[list[Any], list[Any], list[Any], list[Any]]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A variable as a checkpoint holds it, whole, and in the order of one device.

    Attributes:
        variable: Keras' variable, in parts on many devices.
        columns: which of the checkpoint's columns each of the variable's is; None for the same.
    """

    variable: Any
    columns: np.ndarray[Any, Any] | None = None

    def numpy(self) -> np.ndarray[Any, Any]:
        """The whole value, a copy."""
        value = np.array(self.variable.value)
        return value if self.columns is None else value[:, np.argsort(self.columns)]

    def assign(self, value: np.ndarray[Any, Any]) -> None:
        """Hands each device its part; no device gets the whole."""
        ordered = value if self.columns is None else value[:, self.columns]
        ordered = np.asarray(ordered, self.variable.dtype)
        self.variable.assign(jax.device_put(ordered, self.variable.value.sharding))


class MeshLearner:
    """What `Learner` is, on a mesh: the same loss, optimizer, penalty and average.

    Args:
        vocabulary_size: number of token ids.
        options: the model's shape, learning rate, decay, clipping, steps, and the mesh.
        schedule: as for `Learner`.

    Raises:
        ConfigError: the devices, the model or the batch cannot be divided as the options say.
    """

    def __init__(self, vocabulary_size: int, options: TrainOptions, schedule: Any = None) -> None:
        self.options = options
        self.mesh = make_mesh(options, vocabulary_size)
        keras.distribution.set_distribution(self.mesh.distribution)
        policy = precision_policy(options.precision)
        self.model = make_decoder(vocabulary_size, options, policy, by_head=True)
        self.schedule = schedule or optimizers.make_schedule(options)
        self.optimizer = optimizers.make_optimizer("muon", self.model, self.schedule, options)
        averaged = [v.value for v in self.model.trainable_variables] if options.ema else []
        # Copies: a step gives up the memory of what it changes.
        self._averages = [
            keras.Variable(jnp.copy(value), trainable=False, layout=value.sharding)
            for value in averaged
        ]
        self._columns = columns_by_head(options.width, options.heads)
        shardings = [[v.value.sharding for v in group] for group in self._groups()]
        scalar = self.mesh.sharding()
        self._train = jax.jit(
            self._step, donate_argnums=0, out_shardings=(tuple(shardings), scalar, scalar)
        )
        self._evaluate = jax.jit(self._held_out_loss)

    def _groups(self) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """The variables of weights, random state, optimizer and averages."""
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            self.optimizer.variables,
            self._averages,
        )

    def _loss(self, windows: Any, training: bool = False) -> Any:
        hidden = self.model.hidden(windows[:, :-1], training=training)
        embedding = ops.cast(self.model.token_embedding, hidden.dtype)
        logits = ops.cast(ops.matmul(hidden, ops.transpose(embedding)), "float32")
        targets = ops.reshape(windows[:, 1:], (-1, 1))
        # A sum, where a gather would bring every device's logits to all: each has some tokens'.
        chosen = jnp.arange(logits.shape[-1])[None] == targets
        own = jnp.sum(jnp.where(chosen, logits, 0.0), axis=-1)
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - own)

    def _training_loss(
        self, weights: list[Any], random: list[Any], windows: Any
    ) -> tuple[Any, list[Any]]:
        variables, states = self.model.trainable_variables, self.model.non_trainable_variables
        values = [*zip(variables, weights, strict=True), *zip(states, random, strict=True)]
        with keras.StatelessScope(state_mapping=values) as scope:
            loss = self._loss(windows, training=True)
        return loss, [scope.get_current_value(state) for state in states]

    def _held_out_loss(self, weights: list[Any], windows: Any) -> Any:
        values = list(zip(self.model.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=values):
            return self._loss(windows)

    def _step(self, state: _State, windows: Any) -> tuple[_State, Any, Any]:
        weights, random, optimizer, averages = state
        differentiate = jax.value_and_grad(self._training_loss, has_aux=True)
        (loss, random), gradients = differentiate(weights, random, windows)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        if self.options.l1:
            gradients = [
                gradient + self.options.l1 * jnp.sign(weight)
                if optimizers.penalized(variable)
                else gradient
                for variable, gradient, weight in zip(
                    self.model.trainable_variables, gradients, weights, strict=True
                )
            ]
        done = jnp.asarray(optimizer[0], "float32")  # Keras keeps its count of steps first
        weights, optimizer = self.optimizer.stateless_apply(optimizer, gradients, weights)
        if self.options.ema:
            share = 1.0 - decay_after(done, self.options.ema)
            averages = [
                average - share * (average - weight)
                for average, weight in zip(averages, weights, strict=True)
            ]
        return (weights, random, optimizer, averages), loss, norm

    def train(self, windows: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        """One step on windows `[batch, context + 1]`: mean loss in nats, norm of the gradient."""
        groups = self._groups()
        state = tuple([v.value for v in group] for group in groups)
        changed, loss, norm = self._train(state, self.mesh.place(windows))
        for group, values in zip(groups, changed, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return loss, norm

    def evaluate(self, batches: np.ndarray[Any, Any]) -> float:
        """Mean loss in nats per token of windows `[batches, windows, context + 1]`."""
        weights = [v.value for v in self.model.trainable_variables]
        losses = [self._evaluate(weights, self.mesh.place(batch)) for batch in batches]
        return float(np.mean([float(loss) for loss in losses]))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the model holds the averaged weights, if these are wanted."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        # Without an average there are none, and nothing is swapped.
        for average, variable in zip(self._averages, self.model.trainable_variables, strict=False):
            kept = variable.value
            variable.assign(average.value)
            average.assign(kept)

    def weights(self) -> Sequence[Stored]:
        """What is learnt, as a checkpoint holds it."""
        return [self._stored(v, v.path) for v in self.model.trainable_variables]

    def variables(self) -> Iterator[tuple[str, Stored]]:
        """As of `Learner.variables`: the same names, shapes and order of columns."""
        for index, variable in enumerate(self.model.variables):
            yield f"model.{index}", self._stored(variable, variable.path)
        for index, variable in enumerate(self.optimizer.variables):
            yield f"optimizer.{index}", self._stored(variable, variable.path)
        for index, variable in enumerate(self._averages):
            path = self.model.trainable_variables[index].path
            yield f"average.{index}", self._stored(variable, path)

    def _stored(self, variable: Any, path: str) -> Stored:
        return Stored(variable, self._columns if "qkv" in path else None)

    def spread_seeds(self) -> None:
        """One random state is for all: dropout is drawn for the whole batch at once."""

    def agree(self, step: int) -> bool:
        """Whether all who share the work stand at the same step; they are one process."""
        return True

    def finish(self) -> None:
        """Training is over; nobody is waited for from here on."""

    def bytes_of_variables(self) -> tuple[int, int]:
        """Bytes of weights, optimizer and average: those of one device, and of one copy."""
        values = [v.value for group in self._groups() for v in group]
        first = sum(value.addressable_shards[0].data.nbytes for value in values)
        return first, sum(value.nbytes for value in values)
