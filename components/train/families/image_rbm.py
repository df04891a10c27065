"""The restricted Boltzmann machine for binary images, trained by contrastive divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops
from pydantic import BaseModel, ConfigDict, Field

from components.train.families.family import Batch, ImageFamily, Player
from components.train.families.random_rows import derived_seeds, uniform_rows


class RbmOptions(BaseModel):
    """The machine's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: int = Field(default=256, ge=1, description="Hidden units.")
    gibbs_steps: int = Field(
        default=20,
        ge=1,
        description="Gibbs steps in training from where a chain starts to what it is compared to.",
    )
    sampling_steps: int = Field(
        default=50, ge=1, le=2000, description="Gibbs steps in a request that sets none."
    )


@keras.saving.register_keras_serializable("loomline")
class Machine(layers.Layer):
    """Weights between pixels and hidden units; biases of both for each class."""

    def __init__(self, hidden: int, classes: int, seed: int, **others: Any) -> None:
        super().__init__(**others)
        self.hidden, self.classes, self.seed = hidden, classes, seed

    def build(self, shape: Any) -> None:
        pixels = shape[-1]
        small = keras.initializers.RandomNormal(0.0, 1.0 / math.sqrt(pixels), seed=self.seed)
        self.between = self.add_weight((pixels, self.hidden), small, name="between")
        self.of_pixels = self.add_weight((self.classes, pixels), "zeros", name="pixel_bias")
        self.of_hidden = self.add_weight((self.classes, self.hidden), "zeros", name="hidden_bias")

    def call(self, pixels: Any, label: Any) -> Any:
        """Inputs of the hidden units, float32 [B, hidden]."""
        return ops.matmul(pixels, self.between) + ops.take(self.of_hidden, label, axis=0)

    def pixels(self, hidden: Any, label: Any) -> Any:
        """Inputs of the pixels, float32 [B, pixels]."""
        back = ops.matmul(hidden, ops.transpose(self.between))
        return back + ops.take(self.of_pixels, label, axis=0)

    def energy(self, pixels: Any, label: Any) -> Any:
        """Free energy [B]: minus the logarithm of the unnormalized probability of the pixels."""
        biased = ops.sum(pixels * ops.take(self.of_pixels, label, axis=0), axis=-1)
        return -biased - ops.sum(ops.softplus(self(pixels, label)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        own = {"hidden": self.hidden, "classes": self.classes, "seed": self.seed}
        return {**super().get_config(), **own}


class ImageRbm(ImageFamily):
    """Smolensky (1986); the class shifts every unit's bias.

    Grey levels are taken for the probabilities that pixels are white. Half of the chains that
    training compares the data with start at the data, as contrastive divergence has it (Hinton,
    2002), so that data lies in a valley of the energy; the others start where `sample` does
    (Nijkamp et al., 2019), so that the way from there leads to the data.
    """

    title = "restricted Boltzmann machine"
    Options = RbmOptions
    loss_ranks = False

    def __init__(
        self, options: RbmOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options, self._dropout = options, dropout
        self._shape = tuple(data["shape"])
        pixels = keras.Input((math.prod(self._shape),), name="pixels")
        label = keras.Input((), dtype="int32", name="label")
        self.machine = Machine(
            options.hidden, max(1, len(data["labels"])), seed, dtype="float32", name="machine"
        )
        self.network = keras.Model([pixels, label], self.machine(pixels, label), name="rbm")

    def networks(self) -> dict[str, keras.Model]:
        return {"rbm": self.network}

    def players(self) -> list[Player]:
        # What followed its class best in a minute of two cores.
        return [Player("rbm", self.network.trainable_variables, rate=5.0)]

    def _white(self, image: tf.Tensor) -> tf.Tensor:
        return tf.reshape((image + 1.0) / 2.0, [tf.shape(image)[0], math.prod(self._shape)])

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Free energy of the data less that of where the chains end, which are held fixed."""
        white, label = self._white(batch["image"]), batch["label"]
        seeds = iter(tf.unstack(tf.random.split(seed, 2 * self._options.gibbs_steps + 2)))

        def drawn(inputs: tf.Tensor) -> tf.Tensor:
            chance = tf.random.stateless_uniform(tf.shape(inputs), next(seeds))
            return tf.cast(chance < tf.sigmoid(inputs), tf.float32)

        data = tf.cast(
            tf.random.stateless_uniform(tf.shape(white), next(seeds)) < white, tf.float32
        )
        of_data = tf.range(tf.shape(label)[0])[:, tf.newaxis] % 2 == 0
        led = tf.where(of_data, data, drawn(self._start(label)))
        for _ in range(self._options.gibbs_steps):
            inputs = self.machine.pixels(drawn(self.machine(led, label)), label)
            led = drawn(inputs)
        led = tf.stop_gradient(led)
        difference = self.machine.energy(data, label) - self.machine.energy(led, label)
        return tf.reduce_mean(difference), {"white": tf.reduce_mean(tf.sigmoid(inputs))}

    def _start(self, label: tf.Tensor) -> tf.Tensor:
        """Inputs of the pixels [B, pixels] where a chain starts that no image starts."""
        return tf.gather(tf.convert_to_tensor(self.machine.of_pixels), label)

    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """`steps`: how long the Gibbs chain runs from its random start."""
        return {"steps": (float(self._options.sampling_steps), 1.0, 2000.0)}

    def sample(self, label: tf.Tensor, seed: tf.Tensor, **parameters: tf.Tensor) -> tf.Tensor:
        steps = tf.cast(tf.round(parameters["steps"]), tf.int64)[:, tf.newaxis]
        machine, most = self.machine, tf.reduce_max(tf.concat([steps, [[1]]], 0))

        def drawn(inputs: tf.Tensor, index: tf.Tensor, stream: int) -> tf.Tensor:
            chance = uniform_rows(derived_seeds(seed, index), inputs.shape[-1], stream)
            return tf.cast(chance < tf.sigmoid(inputs), tf.float32)

        def step(index: tf.Tensor, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pixels = drawn(inputs, index, 0)
            moved = machine.pixels(drawn(machine(pixels, label), index, 1), label)
            return index + 1, tf.where(index < steps, moved, inputs)

        _, inputs = tf.while_loop(
            lambda index, _: index < most, step, [tf.constant(0, tf.int64), self._start(label)]
        )
        return tf.reshape(2.0 * tf.sigmoid(inputs) - 1.0, [tf.shape(label)[0], *self._shape])
