"""The convolutional, conditional beta-VAE: an encoder, a decoder, and a latent code between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from pydantic import BaseModel, ConfigDict, Field

from components.train.families.family import Batch, ImageFamily, Player
from components.train.families.image_layers import (
    Seeds,
    block,
    down,
    image_shape,
    label_input,
    up,
)
from components.train.families.random_rows import normal_rows


@keras.saving.register_keras_serializable("loomline")
class LogDeviation(layers.Layer):
    """One learned number: the logarithm of the deviation of every pixel's noise.

    Adam moves a weight by about the rate at each step, so the number is ten times the weight:
    the deviation must fall to a tenth soon, or the codes are not used until it has.
    """

    def build(self, shape: Any) -> None:
        self.value = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return 10.0 * self.value - 1.0


class VaeOptions(BaseModel):
    """The VAE's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=32, ge=8, description="Channels at half resolution.")
    blocks: int = Field(default=1, ge=0, description="Residual blocks at each resolution.")
    latent: int = Field(default=24, ge=1, description="Numbers in the latent code.")
    beta: float = Field(
        default=1.0,
        gt=0,
        description="Weight of the divergence from the prior; 1 bounds the likelihood.",
    )


class ImageVae(ImageFamily):
    """Kingma and Welling (2014) with the class given to both sides, beta as Higgins et al. (2017).

    The decoder's noise is Gaussian with one deviation for all pixels, which is learned
    (Rybkin et al., 2021), so that reconstruction and divergence balance by themselves.
    """

    title = "convolutional conditional beta-VAE"
    Options = VaeOptions

    def __init__(
        self, options: VaeOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options = options
        self._shape = image_shape(dict(data), halvings=2)
        self._labels = data["labels"]
        seeds = Seeds(seed)
        self.encoder = self._encoder(dropout, seeds)
        self.decoder = self._decoder(dropout, seeds)

    def _encoder(self, dropout: float, seeds: Seeds) -> keras.Model:
        width = self._options.width
        image = keras.Input(self._shape, name="image")
        label, condition = label_input(self._labels, 2 * width, seeds)
        x = image
        for channels in (width, 2 * width):
            x = down(x, channels, seeds)
            for _ in range(self._options.blocks):
                x = block(x, seeds, condition=condition, dropout=dropout)
        x = layers.Flatten()(x)
        x = layers.Dense(4 * width, activation="silu", kernel_initializer=seeds.glorot())(x)
        x = layers.Concatenate()([x, condition])
        moments = layers.Dense(
            2 * self._options.latent, kernel_initializer=seeds.glorot(), dtype="float32"
        )(x)
        return keras.Model([image, label], moments, name="encoder")

    def _decoder(self, dropout: float, seeds: Seeds) -> keras.Model:
        width = self._options.width
        height, across, channels = self._shape
        latent = keras.Input((self._options.latent,), name="latent")
        label, condition = label_input(self._labels, 2 * width, seeds)
        x = layers.Concatenate()([latent, condition])
        x = layers.Dense(4 * width, activation="silu", kernel_initializer=seeds.glorot())(x)
        x = layers.Dense(
            (height // 4) * (across // 4) * 2 * width, kernel_initializer=seeds.glorot()
        )(x)
        x = layers.Reshape((height // 4, across // 4, 2 * width))(x)
        for size in (2 * width, width):
            for _ in range(self._options.blocks):
                x = block(x, seeds, condition=condition, dropout=dropout)
            x = up(x, size // 2 if size > width else channels, seeds)
        mean = layers.Activation("tanh", dtype="float32")(x)
        deviation = LogDeviation(dtype="float32", name="deviation")(mean)
        return keras.Model([latent, label], [mean, deviation], name="decoder")

    def networks(self) -> dict[str, keras.Model]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def players(self) -> list[Player]:
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Player("vae", variables, rate=6.0)]  # What made the best images in 40 CPU seconds.

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Negative evidence lower bound in nats per image, the divergence weighted by beta."""
        noise = tf.random.stateless_normal(
            [tf.shape(batch["image"])[0], self._options.latent], seed
        )
        reconstruction, divergence = self._bound(batch["image"], batch["label"], noise, training)
        loss = tf.reduce_mean(reconstruction + self._options.beta * divergence)
        scalars = {
            "reconstruction": tf.reduce_mean(reconstruction),
            "divergence": tf.reduce_mean(divergence),
        }
        return loss, scalars

    def _moments(
        self, image: tf.Tensor, label: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_variance = tf.split(self.encoder([image, label], training=training), 2, axis=-1)
        return mean, tf.clip_by_value(log_variance, -10.0, 5.0)

    def _bound(
        self, image: tf.Tensor, label: tf.Tensor, noise: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstruction and divergence of each image, in nats; noise is [B or 1, latent]."""
        mean, log_variance = self._moments(image, label, training)
        latent = mean + tf.exp(0.5 * log_variance) * noise
        output, log_deviation = self.decoder([latent, label], training=training)
        squared = tf.square((image - output) * tf.exp(-log_deviation[0]))
        log_density = -0.5 * squared - log_deviation[0] - 0.5 * math.log(2 * math.pi)
        divergence = 0.5 * (tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)
        return -tf.reduce_sum(log_density, axis=[1, 2, 3]), tf.reduce_sum(divergence, axis=1)

    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """`temperature` scales the latent code: lower gives more usual images."""
        return {"temperature": (1.0, 0.0, 2.0)}

    def sample(self, label: tf.Tensor, seed: tf.Tensor, **parameters: tf.Tensor) -> tf.Tensor:
        latent = normal_rows(seed, self._options.latent)
        latent *= parameters["temperature"][:, tf.newaxis]
        return self.decoder([latent, label], training=False)[0]

    def embed(self, image: tf.Tensor) -> tf.Tensor:
        """Mean codes under the first class, so that they depend on the image alone."""
        return self._moments(image, tf.zeros(tf.shape(image)[:1], tf.int32), training=False)[0]

    def score(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """A bound on the density of pixels scaled to -1..1, with the same noise for every image."""
        noise = tf.random.stateless_normal([1, self._options.latent], [0, 0])
        reconstruction, divergence = self._bound(image, label, noise, training=False)
        return reconstruction + divergence
