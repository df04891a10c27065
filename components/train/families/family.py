"""What a model family is: networks, the losses that train them, a sampler, what is exported."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import pydantic
import tensorflow as tf

# Image families: `image` float32 [B, height, width, channels] of -1..1, `label` int32 [B].
# Table families: `codes` int32 [B, columns], `values` float32 [B, numerical columns].
Batch = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Player:
    """A set of weights with a loss of its own: most families have one, a GAN has two.

    Attributes:
        name: what curves and checkpoints call it, such as 'critic'.
        variables: the trainable variables that its loss moves.
        updates: how often it moves in each training step, on a batch of its own each time.
        rate: its learning rate as a multiple of the chosen one.
        beta_1: Adam's decay of the mean gradient.
        beta_2: Adam's decay of the mean squared gradient.
    """

    name: str
    variables: Sequence[Any]
    updates: int = 1
    rate: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.999


class Family(abc.ABC):
    """One way to model a distribution. Made once for a run, from its options and the data's shape.

    Everything is a function of its arguments: random numbers come from the seeds handed in
    (`tf.random.stateless_*`), so that a killed run resumes to the same weights and the same seed
    gives the same sample. Losses and samplers are traced by `tf.function`, and compiled by XLA in
    training where that is chosen; what is exported uses stock operations only.

    Attributes:
        modality: 'image' or 'table'.
        title: what reports call it, such as 'convolutional VAE'.
        Options: its own choices (`train.family_options` of a configuration), each described.
        loss_ranks: whether a lower held-out loss of the first player means a better model. Where
            it does not (a GAN), training never stops early and the last weights are exported.
    """

    modality: ClassVar[str]
    title: ClassVar[str]
    Options: ClassVar[type[pydantic.BaseModel]]
    loss_ranks: ClassVar[bool] = True

    @abc.abstractmethod
    def __init__(self, options: Any, data: Mapping[str, Any], *, dropout: float, seed: int) -> None:
        """Builds the networks.

        Args:
            options: an instance of `Options`.
            data: what the transform step says of the data (`TransformedExamples.statistics`).
            dropout: share of activations dropped in training.
            seed: of the initial weights.

        Raises:
            ConfigError: the family cannot model such data.
        """

    @abc.abstractmethod
    def networks(self) -> dict[str, keras.Model]:
        """Every network by name: what is averaged (EMA), checkpointed and saved.

        Each is functional (`keras.Model(inputs, outputs)`) or registered as serializable, so that
        `model.keras` holds them all. Its layers take the number format that Keras is set to when
        it is built; losses and samples are computed in float32 whatever that is.
        """

    @abc.abstractmethod
    def players(self) -> list[Player]:
        """Whose losses are minimized, in the order of their turns."""

    @abc.abstractmethod
    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss of a player on a batch, and scalars to log beside it.

        Args:
            player: whose.
            batch: see `Batch`.
            seed: int32 [2], of this step's random numbers.
            training: False on held-out data, where dropout is off.
        """

    def health(self, scalars: Mapping[str, float]) -> str:
        """Why training has gone wrong in this family's own way, such as collapse; else ''."""
        return ""


class ImageFamily(Family):
    """A family whose samples are images."""

    modality = "image"

    @abc.abstractmethod
    def sample(self, label: tf.Tensor, seed: tf.Tensor, **parameters: tf.Tensor) -> tf.Tensor:
        """Draws one image for each row; a row depends on its own inputs only.

        Args:
            label: int32 [B], a class.
            seed: int64 [B].
            parameters: each [B]; exactly those that `parameters` names.

        Returns:
            float32 [B, height, width, channels] of -1..1.
        """

    def parameters(self) -> dict[str, tuple[float, float, float]]:
        """What a caller may choose beside label and seed: name -> (default, least, most).

        Such as {'guidance': (2.0, 0.0, 20.0)}; each becomes a float32 input of the signature
        `generate`.
        """
        return {}

    def embed(self, image: tf.Tensor) -> tf.Tensor | None:
        """float32 [B, D], the encoder's features of images; None for a family without one."""
        return None

    def score(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor | None:
        """float32 [B], (a bound of) the negative log-likelihood in nats; None without one."""
        return None


class TableFamily(Family):
    """A family whose samples are rows."""

    modality = "table"

    @abc.abstractmethod
    def sample(
        self, known: tf.Tensor, codes: tf.Tensor, values: tf.Tensor, seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
        """Draws one row for each row of conditions.

        Args:
            known: bool [B, columns], which columns are given. A family that cannot condition on
                them exactly draws as if they were unknown: rows that do not meet the conditions
                are rejected outside.
            codes, values: the given columns as the transform writes them; ignored elsewhere.
            seed: int64 [B].
            temperature: float32 [B]; 1 is the model's own distribution.

        Returns:
            `codes` int32 [B, columns] and `values` float32 [B, numerical columns].
        """

    def score(self, codes: tf.Tensor, values: tf.Tensor) -> tf.Tensor | None:
        """float32 [B], (a bound of) the negative log-likelihood in nats; None without one."""
        return None
