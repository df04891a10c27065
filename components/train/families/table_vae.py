"""The TVAE-style VAE: whole rows through a latent code, modes and categories by softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from pydantic import BaseModel, ConfigDict, Field

from components.table_layout import TableLayout
from components.train.families.family import Batch, Player, TableFamily
from components.train.families.image_layers import Seeds
from components.train.families.random_rows import normal_rows, uniform_rows
from components.train.families.table_vectors import RowVectors

_NOISE, _CODES, _VALUES = 1, 2, 3
_LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION = -5.0, 0.0
_SAMPLES = 16


@keras.saving.register_keras_serializable("loomline")
class LogDeviations(layers.Layer):
    """A learned number for each feature of its input: the logarithm of a deviation.

    Adam moves a weight by about the rate at each step, so the number is ten times the weight.
    """

    def build(self, shape: Any) -> None:
        self.value = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return 10.0 * self.value - 1.0


class VaeOptions(BaseModel):
    """The VAE's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=256, ge=8, description="Numbers in each hidden layer.")
    layers: int = Field(default=2, ge=1, description="Hidden layers of encoder and decoder.")
    latent: int = Field(default=64, ge=1, description="Numbers in the latent code.")
    beta: float = Field(
        default=0.5,
        gt=0,
        description="Weight of the divergence from the prior; 1 bounds the likelihood, TVAE has "
        "0.5.",
    )


class TableVae(TableFamily):
    """TVAE (Xu et al., 2019), each mode of a number with a mean and a deviation of its own.

    Given the latent code, columns are independent: codes by a softmax over categories or modes,
    values by a normal distribution around what the decoder says for the mode.
    """

    title = "TVAE-style VAE"
    Options = VaeOptions

    def __init__(
        self, options: VaeOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options = options
        self._layout = TableLayout.from_json(data)
        self._vectors = RowVectors(self._layout)
        seeds = Seeds(seed)
        self.encoder = self._encoder(dropout, seeds)
        self.decoder = self._decoder(dropout, seeds)

    def _encoder(self, dropout: float, seeds: Seeds) -> keras.Model:
        row = keras.Input((self._vectors.width,), name="row")
        x = self._hidden(row, dropout, seeds)
        moments = layers.Dense(
            2 * self._options.latent, kernel_initializer=seeds.glorot(), dtype="float32"
        )(x)
        return keras.Model(row, moments, name="encoder")

    def _decoder(self, dropout: float, seeds: Seeds) -> keras.Model:
        latent = keras.Input((self._options.latent,), name="latent")
        x = self._hidden(latent, dropout, seeds)
        total = self._vectors.total
        both = layers.Dense(2 * total, kernel_initializer=seeds.glorot(), dtype="float32")(x)
        deviations = LogDeviations(dtype="float32", name="deviations")(both[:, total:])
        return keras.Model(latent, [both[:, :total], both[:, total:], deviations], name="decoder")

    def _hidden(self, x: Any, dropout: float, seeds: Seeds) -> Any:
        for _ in range(self._options.layers):
            width = self._options.width
            x = layers.Dense(width, activation="silu", kernel_initializer=seeds.glorot())(x)
            x = layers.Dropout(dropout, seed=seeds())(x) if dropout else x
        return x

    def networks(self) -> dict[str, keras.Model]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def players(self) -> list[Player]:
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Player("vae", variables)]

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Reconstruction and the divergence, weighted by beta, in nats per row."""
        codes, values = batch["codes"], batch["values"]
        mean, deviation = self._posterior(codes, values, training)
        noise = tf.random.stateless_normal(tf.shape(mean), seed)
        nats = self._reconstruction(mean + deviation * noise, codes, values, training)
        reconstruction = tf.reduce_mean(nats)
        squares = tf.square(mean) + tf.square(deviation) - 1.0
        each = 0.5 * squares - tf.math.log(deviation)
        divergence = tf.reduce_mean(tf.reduce_sum(each, axis=1))
        scalars = {"reconstruction": reconstruction, "divergence": divergence}
        return reconstruction + self._options.beta * divergence, scalars

    def _posterior(
        self, codes: tf.Tensor, values: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and deviation of the latent code, float32 [B, latent]."""
        moments = self.encoder(self._vectors.vector(codes, values), training=training)
        mean, log_variance = tf.split(tf.cast(moments, tf.float32), 2, axis=1)
        return mean, tf.exp(0.5 * tf.clip_by_value(log_variance, -10.0, 5.0))

    def _decoded(self, latent: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Logits of all codes; mean and log-deviation of a value by its mode; [B, total]."""
        logits, means, deviations = self.decoder(latent, training=training)
        means = tf.tanh(tf.cast(means, tf.float32))
        log_deviations = tf.clip_by_value(
            tf.cast(deviations, tf.float32), _LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION
        )
        return tf.cast(logits, tf.float32), means, tf.broadcast_to(log_deviations, tf.shape(means))

    def _reconstruction(
        self, latent: tf.Tensor, codes: tf.Tensor, values: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """-log p(row | latent) in nats, float32 [B]; values count in deviations of their modes."""
        logits, means, log_deviations = self._decoded(latent, training)
        nats = tf.reduce_sum(self._vectors.cross_entropies(logits, codes), axis=1)
        mean = self._vectors.of_chosen_modes(means, codes)
        log_deviation = self._vectors.of_chosen_modes(log_deviations, codes)
        scaled = (values - mean) * tf.exp(-log_deviation)
        each = 0.5 * tf.square(scaled) + log_deviation + 0.5 * math.log(2 * math.pi)
        return nats + tf.reduce_sum(each * self._vectors.present(codes), axis=1)

    def score(self, codes: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """The importance-weighted bound (Burda et al., 2016) of 16 samples, the same each time."""
        mean, deviation = self._posterior(codes, values, training=False)
        noise = normal_rows(tf.range(_SAMPLES, dtype=tf.int64), self._options.latent)
        weights = []
        for one in tf.unstack(noise, _SAMPLES):
            latent = mean + deviation * one
            nats = self._reconstruction(latent, codes, values, training=False)
            prior = 0.5 * tf.reduce_sum(tf.square(latent), axis=1)
            posterior = 0.5 * tf.reduce_sum(tf.square(one)) + tf.reduce_sum(
                tf.math.log(deviation), axis=1
            )
            weights.append(posterior - prior - nats)
        return math.log(_SAMPLES) - tf.reduce_logsumexp(tf.stack(weights), axis=0)

    def sample(
        self, known: tf.Tensor, codes: tf.Tensor, values: tf.Tensor, seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
        """Conditions are left to rejection; the temperature scales every deviation."""
        warmth = temperature[:, tf.newaxis]
        latent = normal_rows(seed, self._options.latent, _NOISE) * warmth
        logits, means, log_deviations = self._decoded(latent, training=False)
        uniform = uniform_rows(seed, len(self._layout.columns), _CODES)
        drawn = self._vectors.draw_codes(logits, uniform, temperature)
        deviation = tf.exp(self._vectors.of_chosen_modes(log_deviations, drawn))
        if not self._layout.values:
            return drawn, tf.zeros([tf.shape(seed)[0], 0])
        noise = normal_rows(seed, self._layout.values, _VALUES)
        found = self._vectors.of_chosen_modes(means, drawn) + deviation * noise * warmth
        return drawn, tf.clip_by_value(found, -1.0, 1.0) * self._vectors.present(drawn)
