"""Blocks that the convolutional families share, chosen for what a CPU computes quickly.

A dense 3x3 convolution costs nine matrix products for each pixel, most of them on zeros of the
border at low resolution. Here a depthwise convolution mixes pixels and two matrix products mix
channels (Liu et al., 2022, 'A ConvNet for the 2020s'), and images are folded into 2x2 patches, so
that no layer works at full resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from components.errors import ConfigError


class Seeds:
    """Gives each layer a seed of its own, the same ones for the same first seed."""

    def __init__(self, seed: int) -> None:
        self._next = seed * 10_007

    def __call__(self) -> int:
        self._next += 1
        return self._next

    def glorot(self) -> Any:
        return keras.initializers.GlorotUniform(self())


def image_shape(data: dict[str, Any], halvings: int) -> tuple[int, int, int]:
    """Height, width and channels of the images, which so many halvings must divide.

    Raises:
        ConfigError: they do not.
    """
    height, width, channels = data["shape"]
    step = 2**halvings
    if height % step or width % step:
        raise ConfigError(
            f"expected images whose height and width {step} divides. Received: {height} x {width}; "
            "change transform's image size"
        )
    return height, width, channels


def block(
    x: Any, seeds: Seeds, *, condition: Any = None, dropout: float = 0.0, expand: int = 2
) -> Any:
    """A residual block: depthwise 3x3, norm, two matrix products; the condition scales and shifts.

    Args:
        x: [B, height, width, channels].
        seeds: for its weights.
        condition: [B, D], or None.
        dropout: share of the hidden activations dropped.
        expand: hidden channels as a multiple of the channels.
    """
    channels = x.shape[-1]
    hidden = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=seeds.glorot())(x)
    hidden = normalized(hidden)
    if condition is not None:
        hidden = modulated(hidden, condition, seeds)
    hidden = layers.Dense(expand * channels, kernel_initializer=seeds.glorot())(hidden)
    hidden = layers.Activation("silu")(hidden)
    if dropout:
        hidden = layers.Dropout(dropout, seed=seeds())(hidden)
    hidden = layers.Dense(channels, kernel_initializer=_small(seeds, expand * channels))(hidden)
    return layers.Add()([x, hidden])


def normalized(x: Any) -> Any:
    """Channels scaled to a mean square of one at each pixel (Zhang and Sennrich, 2019)."""
    return layers.RMSNormalization(epsilon=1e-5)(x)


def attended(x: Any, seeds: Seeds, heads: int) -> Any:
    """Residual self-attention among all pixels; for low resolutions."""
    channels = x.shape[-1]
    flat = layers.Reshape((-1, channels))(normalized(x))
    mixed = layers.MultiHeadAttention(
        heads, channels // heads, kernel_initializer=seeds.glorot(), seed=seeds()
    )(flat, flat)
    return layers.Add()([x, layers.Reshape(x.shape[1:])(mixed)])


def connected(x: Any, seeds: Seeds, width: int, condition: Any = None) -> Any:
    """A residual, fully connected layer over all pixels at once: what goes together where.

    Its weights know places, which suits aligned pictures; for low resolutions.
    """
    flat = layers.Flatten()(normalized(x))
    hidden = layers.Dense(width, kernel_initializer=seeds.glorot())(flat)
    if condition is not None:
        hidden = modulated(hidden, condition, seeds)
    hidden = layers.Activation("silu")(hidden)
    hidden = layers.Dense(flat.shape[-1], kernel_initializer=_small(seeds, width))(hidden)
    return layers.Add()([x, layers.Reshape(x.shape[1:])(hidden)])


@keras.saving.register_keras_serializable("loomline")
class Positions(layers.Layer):
    """Adds a learned number for each pixel and channel: what is usual at that place."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer="zeros", name="embedding")

    def call(self, inputs: Any) -> Any:
        return inputs + keras.ops.cast(self.table, inputs.dtype)


def _small(seeds: Seeds, fan_in: int) -> Any:
    """So that a block starts near the identity."""
    return keras.initializers.RandomNormal(0.0, 0.3 / math.sqrt(fan_in), seed=seeds())


def modulated(x: Any, condition: Any, seeds: Seeds) -> Any:
    """Scales and shifts channels by the condition (FiLM; Perez et al., 2018); starts as x."""
    channels = x.shape[-1]
    shape = [1] * (len(x.shape) - 2) + [channels]
    scale, shift = (
        layers.Reshape(shape)(
            layers.Dense(channels, kernel_initializer=_small(seeds, condition.shape[-1]))(condition)
        )
        for _ in range(2)
    )
    return layers.Add()([layers.Add()([x, layers.Multiply()([x, scale])]), shift])


def down(x: Any, channels: int, seeds: Seeds) -> Any:
    """Halves height and width: each 2x2 patch becomes one pixel of `channels`."""
    return layers.Conv2D(channels, 2, strides=2, kernel_initializer=seeds.glorot())(x)


def up(x: Any, channels: int, seeds: Seeds) -> Any:
    """Doubles height and width: each pixel becomes a 2x2 patch of `channels`."""
    return layers.Conv2DTranspose(channels, 2, strides=2, kernel_initializer=seeds.glorot())(x)


def label_input(labels: Sequence[str], width: int, seeds: Seeds, extra: int = 0) -> tuple[Any, Any]:
    """An int32 [B] input of classes, and its embedding [B, width].

    Args:
        labels: names of the classes.
        width: of the embedding.
        seeds: for its weights.
        extra: how many more codes than classes there are.
    """
    label = keras.Input((), dtype="int32", name="label")
    initializer = keras.initializers.RandomNormal(0.0, 1.0, seed=seeds())
    table = layers.Embedding(
        max(1, len(labels)) + extra, width, embeddings_initializer=initializer, name="embedding"
    )
    return label, table(label)
