"""The conditional Wasserstein GAN with gradient penalty, its critic watched, collapse detected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from pydantic import BaseModel, ConfigDict, Field

from components.train.families.family import Batch, ImageFamily, Player
from components.train.families.image_layers import (
    Positions,
    Seeds,
    block,
    down,
    image_shape,
    label_input,
    up,
)
from components.train.families.random_rows import normal_rows

GENERATOR, CRITIC = "generator", "critic"
# Of the chosen learning rate: what made the best images in a minute of two cores.
_RATE = 3.0
# Of the distance between two images of a class, as a share of the data's.
_COLLAPSED = 0.35
# Of the critic's slope between data and samples, which the penalty holds near 1.
_STEEP = 3.0


class GanOptions(BaseModel):
    """The GAN's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=32, ge=8, description="Channels at half resolution.")
    blocks: int = Field(default=1, ge=0, description="Residual blocks at each resolution.")
    latent: int = Field(default=64, ge=1, description="Numbers that the generator starts from.")
    critic_updates: int = Field(
        default=2, ge=1, description="Updates of the critic for each one of the generator."
    )
    penalty: float = Field(
        default=5.0, gt=0, description="Weight of the penalty that holds the critic's slope at 1."
    )
    critic_rate: float = Field(
        default=1.0,
        gt=0,
        description="The critic's learning rate as a multiple of the generator's.",
    )


class ImageGan(ImageFamily):
    """Gulrajani et al. (2017), the class by projection (Miyato and Koyama, 2018)."""

    title = "conditional WGAN-GP"
    Options = GanOptions
    loss_ranks = False

    def __init__(
        self, options: GanOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options = options
        self._shape = image_shape(dict(data), halvings=2)
        self._labels = data["labels"]
        seeds = Seeds(seed)
        self.generator = self._generator(seeds)
        self.critic = self._critic(dropout, seeds)

    def _generator(self, seeds: Seeds) -> keras.Model:
        width, blocks = self._options.width, self._options.blocks
        height, across, channels = self._shape
        latent = keras.Input((self._options.latent,), name="latent")
        label, embedded = label_input(self._labels, 2 * width, seeds)
        condition = layers.Concatenate()([latent, embedded])
        condition = layers.Dense(
            4 * width, activation="silu", kernel_initializer=seeds.glorot(), name="condition"
        )(condition)
        cells = (height // 4) * (across // 4)
        x = layers.Dense(cells * 2 * width, kernel_initializer=seeds.glorot())(condition)
        x = layers.Reshape((height // 4, across // 4, 2 * width))(x)
        for size in (2 * width, width):
            for _ in range(blocks):
                x = block(Positions()(x), seeds, condition=condition)
            x = up(x, size // 2 if size > width else channels, seeds)
        image = layers.Activation("tanh", dtype="float32")(x)
        return keras.Model([latent, label], image, name=GENERATOR)

    def _critic(self, dropout: float, seeds: Seeds) -> keras.Model:
        width = self._options.width
        image = keras.Input(self._shape, name="image")
        label, embedded = label_input(self._labels, 4 * width, seeds)
        x = image
        for channels in (width, 2 * width):
            x = down(x, channels, seeds)
            for _ in range(self._options.blocks):
                x = block(x, seeds, dropout=dropout)
            x = layers.LeakyReLU(0.2)(x)
        x = layers.Flatten()(x)
        x = layers.Dense(4 * width, kernel_initializer=seeds.glorot())(x)
        x = layers.LeakyReLU(0.2)(x)
        value = layers.Dense(1, kernel_initializer=seeds.glorot())(x)
        projected = layers.Dot(axes=1)([x, embedded])
        score = layers.Add(dtype="float32")([value, projected])
        return keras.Model([image, label], score, name=CRITIC)

    def networks(self) -> dict[str, keras.Model]:
        return {GENERATOR: self.generator, CRITIC: self.critic}

    def players(self) -> list[Player]:
        return [
            Player(
                CRITIC,
                self.critic.trainable_variables,
                updates=self._options.critic_updates,
                rate=_RATE * self._options.critic_rate,
                beta_1=0.0,
                beta_2=0.9,
            ),
            Player(
                GENERATOR, self.generator.trainable_variables, rate=_RATE, beta_1=0.0, beta_2=0.9
            ),
        ]

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The critic's loss with its penalty, or the generator's, on as many samples as images."""
        image, label = batch["image"], batch["label"]
        seeds = tf.unstack(tf.random.split(seed, 2))
        latent = tf.random.stateless_normal([tf.shape(label)[0], self._options.latent], seeds[0])
        fake = self.generator([latent, label], training=training)
        judged = self.critic([fake, label], training=training)
        if player == GENERATOR:
            scalars = {} if training else {"diversity": _diversity(fake, image, label)}
            return -tf.reduce_mean(judged), scalars
        real = self.critic([image, label], training=training)
        distance = tf.reduce_mean(real) - tf.reduce_mean(judged)
        slope = self._slope(image, fake, label, seeds[1], training)
        penalty = tf.reduce_mean(tf.square(slope - 1.0))
        scalars = {"wasserstein": distance, "slope": tf.reduce_mean(slope), "penalty": penalty}
        return self._options.penalty * penalty - distance, scalars

    def _slope(
        self, real: tf.Tensor, fake: tf.Tensor, label: tf.Tensor, seed: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Norm of the critic's gradient at random points between data and samples, [B]."""
        share = tf.random.stateless_uniform([tf.shape(label)[0], 1, 1, 1], seed)
        between = fake + share * (real - fake)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            score = self.critic([between, label], training=training)
        squared = tf.square(tape.gradient(score, between))
        return tf.sqrt(tf.reduce_sum(squared, axis=[1, 2, 3]) + 1e-12)

    def health(self, scalars: Mapping[str, float]) -> str:
        diversity = scalars["generator.diversity"]
        if diversity < _COLLAPSED:
            return (
                f"the generator has collapsed: two samples of a class differ by {diversity:.2f} of "
                "what two images of it do. Lower train.learning_rate, or raise "
                "critic_updates or penalty in train.family_options"
            )
        slope = scalars["critic.slope"]
        if slope > _STEEP:
            return (
                f"the critic's slope is {slope:.1f}, where the penalty should hold it near 1. "
                "Lower train.learning_rate, or raise penalty in train.family_options"
            )
        return ""

    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """`temperature` scales what the generator starts from: lower gives more usual images."""
        return {"temperature": (1.0, 0.0, 2.0)}

    def sample(self, label: tf.Tensor, seed: tf.Tensor, **parameters: tf.Tensor) -> tf.Tensor:
        latent = normal_rows(seed, self._options.latent)
        latent *= parameters["temperature"][:, tf.newaxis]
        return self.generator([latent, label], training=False)


def _diversity(fake: tf.Tensor, real: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """Mean distance between two samples of one class as a share of that between two images."""
    same = tf.cast(label[:, tf.newaxis] == label[tf.newaxis, :], tf.float32)
    rows = tf.shape(label)[0]
    pairs = tf.linalg.set_diag(same, tf.zeros([rows]))

    def spread(image: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(image, [rows, -1])
        squares = tf.reduce_sum(tf.square(flat), axis=1)
        products = tf.matmul(flat, flat, transpose_b=True)
        squared = squares[:, tf.newaxis] + squares[tf.newaxis, :] - 2 * products
        distance = tf.sqrt(tf.maximum(squared, 0.0))
        return tf.reduce_sum(distance * pairs) / tf.maximum(tf.reduce_sum(pairs), 1.0)

    return spread(fake) / tf.maximum(spread(real), 1e-6)
