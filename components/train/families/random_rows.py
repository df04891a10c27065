"""Random numbers of many rows at once, each row's from its own seed alone."""

from __future__ import annotations

import math

import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_BITS = 24


def _word(number: int) -> tf.Tensor:
    return tf.constant(number % 2**64, tf.uint64)


def mixed(words: tf.Tensor) -> tf.Tensor:
    """Scrambles uint64 words, the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        words = tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, _word(shift)))
        words = words * _word(factor)
    return tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, _word(31)))


def uniform_rows(seed: tf.Tensor, count: int, stream: int = 0) -> tf.Tensor:
    """Uniform numbers of 0..1, 1 left out, by SplitMix64.

    `tf.random.stateless_uniform` takes one seed for a whole tensor, so that it would have to be
    called for each row.

    Args:
        seed: int64 [B].
        count: of numbers in a row.
        stream: another number gives other numbers for the same seed.

    Returns:
        float32 [B, count].
    """
    state = mixed(tf.bitcast(seed, tf.uint64) + _word(_GOLDEN * (stream + 1)))
    steps = tf.constant([_GOLDEN * (place + 1) % 2**64 for place in range(count)], tf.uint64)
    words = tf.bitwise.right_shift(mixed(state[:, tf.newaxis] + steps), _word(64 - _BITS))
    return tf.cast(tf.cast(words, tf.int64), tf.float32) * 2.0**-_BITS


def normal_rows(seed: tf.Tensor, count: int, stream: int = 0) -> tf.Tensor:
    """Standard normal numbers float32 [B, count] (Box and Muller, 1958); see `uniform_rows`."""
    even = count + count % 2
    size, angle = tf.split(uniform_rows(seed, even, stream), 2, axis=1)
    # 1 - u is never 0; the logarithm of 0 would be infinite.
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - size))
    turn = 2.0 * math.pi * angle
    return tf.concat([radius * tf.cos(turn), radius * tf.sin(turn)], axis=1)[:, :count]


def derived_seeds(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Seeds int64 that follow from seeds and numbers int64, both [B] or of no dimension."""
    first = mixed(tf.bitcast(seed, tf.uint64) + _word(_GOLDEN))
    return tf.bitcast(mixed(first + tf.bitcast(number, tf.uint64) * _word(_GOLDEN)), tf.int64)


def drawn(logits: tf.Tensor, uniform: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """Draws one place of each row by the inverse of the cumulative distribution.

    Args:
        logits: float32 [B, N]; minus infinity is never drawn.
        uniform: float32 [B], of 0..1.
        temperature: float32 [B]; 0 takes the most likely.

    Returns:
        int32 [B].
    """
    logits -= tf.reduce_max(logits, axis=1, keepdims=True)
    sharp = logits / tf.maximum(temperature, 1e-6)[:, tf.newaxis]
    below = tf.cumsum(tf.exp(sharp), axis=1)
    total = below[:, -1:]
    found = tf.reduce_sum(tf.cast(below <= uniform[:, tf.newaxis] * total, tf.int32), axis=1)
    # Rounding may reach the total itself, which no place is above.
    last = tf.reduce_sum(tf.cast(below < total, tf.int32), axis=1)
    return tf.minimum(found, last)
