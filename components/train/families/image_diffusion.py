"""Diffusion with a U-Net: flow matching or noise prediction, classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers
from pydantic import BaseModel, ConfigDict, Field

from components.train.families.family import Batch, ImageFamily, Player
from components.train.families.image_layers import (
    Positions,
    Seeds,
    attended,
    block,
    connected,
    down,
    image_shape,
    label_input,
    modulated,
    normalized,
    up,
)
from components.train.families.random_rows import normal_rows

_FREQUENCIES = 16
# Of pixels around zero, over the data sets of the configurations.
_DATA_VARIANCE = 0.5
_LEAST_NOISE = 1e-3


class DiffusionOptions(BaseModel):
    """The diffusion model's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Literal["flow", "noise"] = Field(
        default="flow",
        description="What is learned: flow, the velocity from noise to data along straight lines; "
        "or noise, the noise under a cosine schedule, sampled by DDIM.",
    )
    widths: tuple[int, ...] = Field(
        default=(32, 64), min_length=1, description="Channels at 1/2, 1/4, ... of the resolution."
    )
    blocks: int = Field(default=1, ge=1, description="Residual blocks at each level, each way.")
    heads: int = Field(
        default=0, ge=0, description="Attention heads at the coarsest level; 0 for no attention."
    )
    connected: int = Field(
        default=256,
        ge=0,
        description="Width of a fully connected layer over the coarsest level, which suits "
        "pictures that are aligned; 0 for none.",
    )
    condition: int = Field(
        default=96, ge=8, description="Width of the embedding of class and time."
    )
    unconditional: float = Field(
        default=0.1, ge=0, lt=1, description="Share of examples whose class is hidden in training."
    )
    guidance: float = Field(
        default=2.0, ge=0, le=20, description="Guidance of a request that sets none; 1 is none."
    )
    sampling_steps: int = Field(
        default=12, ge=1, le=200, description="Steps of the sampler in a request that sets none."
    )


class ImageDiffusion(ImageFamily):
    """Rectified flow (Liu et al., 2023; Lipman et al., 2023), or DDIM (Song et al., 2021).

    Both mix data and noise as `a x + s e`. What the network gives is added to the best linear
    guess from the mixture (as Karras et al., 2022, precondition), so that it need not carry
    noise through.
    """

    title = "diffusion with a U-Net"
    Options = DiffusionOptions

    def __init__(
        self, options: DiffusionOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options = options
        self._shape = image_shape(dict(data), halvings=len(options.widths))
        self._labels = data["labels"]
        self._hidden_class = max(1, len(self._labels))
        self.network = self._unet(dropout, Seeds(seed))

    def _unet(self, dropout: float, seeds: Seeds) -> keras.Model:
        options = self._options
        image = keras.Input(self._shape, name="image")
        time = keras.Input((), name="time")
        label, embedded = label_input(self._labels, options.condition, seeds, extra=1)
        condition = layers.Dense(options.condition, kernel_initializer=seeds.glorot())(
            Frequencies(dtype="float32", name="frequencies")(time)
        )
        condition = layers.Activation("silu")(layers.Add()([condition, embedded]))
        condition = layers.Dense(
            options.condition, activation="silu", kernel_initializer=seeds.glorot()
        )(condition)

        def level(x: Any) -> Any:
            for _ in range(options.blocks):
                x = block(x, seeds, condition=condition, dropout=dropout)
            return x

        x, skips = image, []
        for width in options.widths:
            x = level(Positions()(down(x, width, seeds)))
            skips.append(x)
        if options.heads:
            x = attended(x, seeds, options.heads)
        if options.connected:
            x = connected(x, seeds, options.connected, condition)
        x = level(x)
        for width, skip in zip(reversed(options.widths[:-1]), reversed(skips[:-1]), strict=True):
            x = level(layers.Add()([up(x, width, seeds), skip]))
        x = modulated(normalized(x), condition, seeds)
        x = layers.Conv2DTranspose(
            self._shape[-1], 2, strides=2, kernel_initializer="zeros", dtype="float32"
        )(x)
        return keras.Model([image, time, label], x, name="unet")

    def networks(self) -> dict[str, keras.Model]:
        return {"unet": self.network}

    def players(self) -> list[Player]:
        return [Player("unet", self.network.trainable_variables, beta_2=0.99)]

    def _mixture(self, time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Shares of data and noise, [B, 1, 1, 1] each, at times of 0 (noise) to 1 (data)."""
        time = time[:, tf.newaxis, tf.newaxis, tf.newaxis]
        if self._options.objective == "flow":
            return time, 1.0 - time
        angle = 0.5 * math.pi * time
        return tf.sin(angle), tf.cos(angle)

    def _predict(
        self, mixed: tf.Tensor, time: tf.Tensor, label: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The image and the noise that a mixture is made of, as far as the network knows."""
        share, noise_share = self._mixture(time)
        variance = tf.square(share) * _DATA_VARIANCE + tf.square(noise_share)
        scaled = mixed * tf.math.rsqrt(variance)
        output = self.network([scaled, time, label], training=training)
        # Cov(target, mixed) / Var(mixed) * mixed, and a deviation of the rest.
        if self._options.objective == "flow":
            velocity = (share * _DATA_VARIANCE - noise_share) / variance * mixed
            velocity += output * math.sqrt(_DATA_VARIANCE) * tf.math.rsqrt(variance)
            return mixed + noise_share * velocity, mixed - share * velocity
        noise = noise_share / variance * mixed
        noise += output * math.sqrt(_DATA_VARIANCE) * share * tf.math.rsqrt(variance)
        image = (mixed - noise_share * noise) / tf.maximum(share, _LEAST_NOISE)
        return image, noise

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Mean squared error of the velocity, or of the noise."""
        image, label = batch["image"], batch["label"]
        rows = tf.shape(image)[:1]
        seeds = tf.unstack(tf.random.split(seed, 3))
        noise = tf.random.stateless_normal(tf.shape(image), seeds[0])
        # Times near the middle are the hard ones (Esser et al., 2024): a logistic normal.
        time = tf.sigmoid(tf.random.stateless_normal(rows, seeds[1]))
        hidden = tf.random.stateless_uniform(rows, seeds[2]) < self._options.unconditional
        label = tf.where(hidden, self._hidden_class, label)
        share, noise_share = self._mixture(time)
        mixed = share * image + noise_share * noise
        guessed_image, guessed_noise = self._predict(mixed, time, label, training)
        error = guessed_noise - noise
        if self._options.objective == "flow":
            error = (guessed_image - guessed_noise) - (image - noise)
        return tf.reduce_mean(tf.square(error)), {}

    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """`guidance`: how much more like its class; `steps` of the sampler, one by one slower."""
        return {
            "guidance": (self._options.guidance, 0.0, 20.0),
            "steps": (float(self._options.sampling_steps), 1.0, 200.0),
        }

    def sample(self, label: tf.Tensor, seed: tf.Tensor, **parameters: tf.Tensor) -> tf.Tensor:
        steps = tf.maximum(tf.round(parameters["steps"]), 1.0)
        guidance = parameters["guidance"][:, tf.newaxis, tf.newaxis, tf.newaxis]
        both = tf.concat([label, tf.fill(tf.shape(label), self._hidden_class)], 0)

        def guided(mixed: tf.Tensor, time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = self._predict(
                tf.concat([mixed, mixed], 0), tf.concat([time, time], 0), both, training=False
            )
            pairs = [tf.split(tensor, 2) for tensor in found]
            image, noise = (free + guidance * (given - free) for given, free in pairs)
            return image, noise

        def step(index: tf.Tensor, mixed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            now = tf.minimum(index / steps, 1.0)
            image, noise = guided(mixed, now)
            share, noise_share = self._mixture(tf.minimum((index + 1) / steps, 1.0))
            moved = share * image + noise_share * noise
            going_on = (index < steps)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            return index + 1, tf.where(going_on, moved, mixed)

        noise = normal_rows(seed, math.prod(self._shape))
        mixed = tf.reshape(noise, [-1, *self._shape])
        most = tf.reduce_max(tf.concat([steps, [1.0]], 0))
        _, image = tf.while_loop(
            lambda index, _: index < most,
            step,
            [tf.constant(0.0), mixed],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, *self._shape])],
        )
        return tf.clip_by_value(image, -1.0, 1.0)


@keras.saving.register_keras_serializable("loomline")
class Frequencies(layers.Layer):
    """Sines and cosines of times of 0..1: [B] to [B, 32]."""

    def call(self, inputs: Any) -> Any:
        powers = keras.ops.arange(_FREQUENCIES, dtype="float32") / _FREQUENCIES
        angles = keras.ops.expand_dims(inputs, -1) * keras.ops.exp(powers * math.log(1000.0))
        return keras.ops.concatenate([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape, 2 * _FREQUENCIES)
