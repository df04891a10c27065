"""The CTGAN-style GAN: conditions, training by sampling, a critic that sees rows in packs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from pydantic import BaseModel, ConfigDict, Field

from components.table_layout import TableLayout
from components.train.families.family import Batch, Player, TableFamily
from components.train.families.image_layers import Seeds
from components.train.families.random_rows import drawn, normal_rows, uniform_rows
from components.train.families.table_vectors import RowVectors

GENERATOR, CRITIC, FREQUENCIES = "generator", "critic", "frequencies"
_NOISE, _CODES, _CONDITION = 1, 2, 3
# Of the share of pairs of rows that differ, as a share of the data's.
_COLLAPSED = 0.35
# Of the critic's slope between data and samples, which the penalty holds near 1.
_STEEP = 3.0
# Of the chosen learning rate: networks that play against each other bear less, frequencies more.
_SLOW, _FAST = 0.2, 10.0


class GanOptions(BaseModel):
    """The GAN's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=256, ge=8, description="Numbers in each hidden layer.")
    latent: int = Field(default=128, ge=1, description="Numbers that the generator starts from.")
    pac: int = Field(
        default=10, ge=1, description="Rows that the critic sees at once, against collapse."
    )
    critic_updates: int = Field(
        default=1, ge=1, description="Updates of the critic for each one of the generator."
    )
    penalty: float = Field(
        default=10.0, gt=0, description="Weight of the penalty that holds the critic's slope at 1."
    )
    softness: float = Field(
        default=0.2, gt=0, description="Temperature of the Gumbel softmax that codes are drawn by."
    )


class TableGan(TableFamily):
    """CTGAN (Xu et al., 2019): WGAN-GP (Gulrajani et al., 2017) in packs (Lin et al., 2018).

    A condition says the code of one column. In training the column is drawn evenly and its code
    by the logarithm of its frequency, so that rare categories are learnt as well; in sampling the
    code is drawn by its frequency, which a table of logits learns beside the networks.
    """

    title = "CTGAN-style GAN"
    Options = GanOptions
    loss_ranks = False

    def __init__(
        self, options: GanOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        self._options = options
        self._layout = TableLayout.from_json(data)
        self._vectors = RowVectors(self._layout)
        self._rows = int(data["train"]["rows"])
        self._conditioned = list(self._vectors.conditions())
        seeds = Seeds(seed)
        self.generator = self._generator(seeds)
        self.critic = self._critic(dropout, seeds)
        self.frequencies = self._frequencies()

    def _generator(self, seeds: Seeds) -> keras.Model:
        latent = keras.Input((self._options.latent,), name="latent")
        condition = keras.Input((self._vectors.total,), name="condition")
        x = layers.Concatenate()([latent, condition])
        for _ in range(2):
            hidden = layers.Dense(self._options.width, kernel_initializer=seeds.glorot())(x)
            hidden = layers.Activation("relu")(layers.LayerNormalization()(hidden))
            x = layers.Concatenate()([hidden, x])
        output = layers.Dense(
            self._vectors.width, kernel_initializer=seeds.glorot(), dtype="float32"
        )(x)
        return keras.Model([latent, condition], output, name=GENERATOR)

    def _critic(self, dropout: float, seeds: Seeds) -> keras.Model:
        width = self._options.pac * (self._vectors.width + self._vectors.total)
        pack = keras.Input((width,), name="pack")
        x = pack
        for _ in range(2):
            x = layers.Dense(self._options.width, kernel_initializer=seeds.glorot())(x)
            x = layers.LeakyReLU(0.2)(x)
            x = layers.Dropout(dropout, seed=seeds())(x) if dropout else x
        score = layers.Dense(1, kernel_initializer=seeds.glorot(), dtype="float32")(x)
        return keras.Model(pack, score, name=CRITIC)

    def _frequencies(self) -> keras.Model:
        one = keras.Input((1,), name="one")
        logits = layers.Dense(
            self._vectors.total, use_bias=False, kernel_initializer="zeros", dtype="float32"
        )(one)
        return keras.Model(one, logits, name=FREQUENCIES)

    def networks(self) -> dict[str, keras.Model]:
        return {
            GENERATOR: self.generator, CRITIC: self.critic, FREQUENCIES: self.frequencies
        }  # fmt: skip

    def players(self) -> list[Player]:
        critic, generator = self.critic.trainable_variables, self.generator.trainable_variables
        updates = self._options.critic_updates
        return [
            Player(CRITIC, critic, updates, rate=_SLOW, beta_1=0.5, beta_2=0.9),
            Player(GENERATOR, generator, rate=_SLOW, beta_1=0.5, beta_2=0.9),
            Player(FREQUENCIES, self.frequencies.trainable_variables, rate=_FAST),
        ]

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The critic's loss with its penalty; the generator's, with what misses the condition."""
        codes, values = batch["codes"], batch["values"]
        if player == FREQUENCIES:
            logits = tf.repeat(self.frequencies(tf.ones([1, 1])), tf.shape(codes)[0], axis=0)
            return tf.reduce_mean(
                tf.reduce_sum(self._vectors.cross_entropies(logits, codes), axis=1)
            ), {}
        seeds = tf.unstack(tf.random.split(seed, 4))
        codes, values, asked = self._by_sampling(codes, values, seeds[0])
        condition = self._vectors.one_hot(codes) * tf.gather(self._masks(), asked)
        latent = tf.random.stateless_normal([tf.shape(codes)[0], self._options.latent], seeds[1])
        logits, fake_values = self._generated(latent, condition, training)
        fake = tf.concat([self._softly(logits, seeds[2]), fake_values], axis=1)
        judged = self.critic(self._packs(fake, condition), training=training)
        if player == GENERATOR:
            missed = self._vectors.cross_entropies(logits, codes)
            missed = tf.reduce_mean(tf.gather(missed, asked, axis=1, batch_dims=1))
            scalars = {"condition_loss": missed}
            if not training:
                scalars["diversity"] = self._diversity(fake, codes)
            return missed * float(bool(self._conditioned)) - tf.reduce_mean(judged), scalars
        real = self._packs(self._vectors.vector(codes, values), condition)
        distance = tf.reduce_mean(self.critic(real, training=training)) - tf.reduce_mean(judged)
        slope = self._slope(real, self._packs(fake, condition), seeds[3], training)
        penalty = tf.reduce_mean(tf.square(slope - 1.0))
        scalars = {"wasserstein": distance, "slope": tf.reduce_mean(slope), "penalty": penalty}
        return self._options.penalty * penalty - distance, scalars

    def _masks(self) -> tf.Tensor:
        """Float32 [C, total]: 1 at a column's codes, none at columns that are no condition."""
        sizes = self._layout.sizes
        masks = tf.repeat(tf.eye(len(sizes)), sizes, axis=1)
        allowed = [float(place in self._conditioned) for place in range(len(sizes))]
        return masks * tf.constant(allowed)[:, tf.newaxis]

    def _by_sampling(
        self, codes: tf.Tensor, values: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Draws rows of the batch for conditions; whole packs of them.

        The row's condition is a column drawn evenly. A row stands for log(1 + n) / n draws where
        its code is n times in training, so that a code is drawn by log(1 + n).

        Returns:
            codes [R, C], values [R, V] and the columns int32 [R] that are conditions.
        """
        batch = tf.shape(codes)[0]
        rows = tf.maximum(1, batch // self._options.pac) * self._options.pac
        places = self._conditioned or [0]
        seeds = tf.unstack(tf.random.split(seed, 2))
        uniform = tf.random.stateless_uniform([rows], seeds[0])
        which = tf.minimum(tf.cast(uniform * len(places), tf.int32), len(places) - 1)
        found = tf.reduce_sum(self._vectors.one_hot(codes), axis=0)
        here = tf.gather(found, codes + tf.constant(self._vectors.starts))
        # How often the code is in training, by the share that it has in the batch.
        often = here * (self._rows / tf.cast(batch, tf.float32))
        weights = tf.math.log(tf.math.log(1.0 + often) / here)
        logits = tf.transpose(tf.gather(weights, places, axis=1))
        chosen = tf.random.stateless_categorical(logits, rows, seeds[1], dtype=tf.int32)
        if not self._conditioned:
            chosen = tf.range(rows)[tf.newaxis] % batch
        mine = tf.gather(tf.transpose(chosen), which, axis=1, batch_dims=1)
        return tf.gather(codes, mine), tf.gather(values, mine), tf.gather(places, which)

    def _generated(
        self, latent: tf.Tensor, condition: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of all codes [B, total] and values of -1..1 [B, V]."""
        output = tf.cast(self.generator([latent, condition], training=training), tf.float32)
        return output[:, : self._vectors.total], tf.tanh(output[:, self._vectors.total :])

    def _softly(self, logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Codes drawn by the Gumbel softmax (Jang et al., 2017), almost one-hot, [B, total]."""
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed, 1e-7, 1.0)
        noisy = (logits - tf.math.log(-tf.math.log(uniform))) / self._options.softness
        return tf.concat([tf.nn.softmax(part) for part in self._vectors.columns(noisy)], axis=1)

    def _packs(self, rows: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """[B / pac, pac * width]: rows and their conditions, some together."""
        both = tf.concat([rows, condition], axis=1)
        return tf.reshape(both, [-1, self._options.pac * both.shape[1]])

    def _slope(
        self, real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Norm of the critic's gradient at random points between data and samples, [packs]."""
        share = tf.random.stateless_uniform([tf.shape(real)[0], 1], seed)
        between = fake + share * (real - fake)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            score = self.critic(between, training=training)
        squared = tf.square(tape.gradient(score, between))
        return tf.sqrt(tf.reduce_sum(squared, axis=1) + 1e-12)

    def _diversity(self, fake: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        """How often two rows differ in a column, the mean of columns, as a share of the data's."""

        def differing(vectors: tf.Tensor) -> tf.Tensor:
            shares = tf.reduce_mean(vectors, axis=0)
            return float(len(self._layout.columns)) - tf.reduce_sum(tf.square(shares))

        real = self._vectors.one_hot(codes)
        return differing(fake[:, : self._vectors.total]) / tf.maximum(differing(real), 1e-6)

    def health(self, scalars: Mapping[str, float]) -> str:
        diversity = scalars["generator.diversity"]
        if diversity < _COLLAPSED:
            return (
                f"the generator has collapsed: two rows differ {diversity:.2f} times as often as "
                "in the data. Lower train.learning_rate, or raise pac or critic_updates in "
                "train.family_options"
            )
        slope = scalars["critic.slope"]
        if slope > _STEEP:
            return (
                f"the critic's slope is {slope:.1f}, where the penalty should hold it near 1. "
                "Lower train.learning_rate, or raise penalty in train.family_options"
            )
        return ""

    def sample(
        self, known: tf.Tensor, codes: tf.Tensor, values: tf.Tensor, seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
        """One of the known columns is the condition, where one can be; rejection does the rest."""
        rows = tf.shape(seed)[0]
        uniform = uniform_rows(seed, len(self._layout.columns) + 1, _CONDITION)
        condition = tf.zeros([rows, self._vectors.total])
        if self._conditioned:
            logits = tf.repeat(self.frequencies(tf.ones([1, 1])), rows, axis=0)
            wanted = self._vectors.draw_codes(logits, uniform, tf.ones([rows]))
            wanted = tf.where(known, codes, wanted)
            given = tf.gather(known, self._conditioned, axis=1)
            any_column = tf.where(tf.reduce_any(given, axis=1, keepdims=True), given, True)
            # Minus infinity is never drawn; among known columns one is as good as another.
            choice = tf.math.log(tf.cast(any_column, tf.float32))
            which = drawn(choice, uniform[:, -1], tf.ones([rows]))
            asked = tf.gather(self._conditioned, which)
            condition = self._vectors.one_hot(wanted) * tf.gather(self._masks(), asked)
        latent = normal_rows(seed, self._options.latent, _NOISE) * temperature[:, tf.newaxis]
        logits, found = self._generated(latent, condition, training=False)
        chance = uniform_rows(seed, len(self._layout.columns), _CODES)
        made = self._vectors.draw_codes(logits, chance, temperature)
        return made, found * self._vectors.present(made)
