"""The choice of the next token: temperature, top-k, top-p, and randomness that belongs to a row.

What is drawn from: of the tokens, likeliest first, those among the first `top_k` (0: all of them)
that also belong to the nucleus, which is the smallest set of likeliest tokens whose probability at
the given temperature, over the whole vocabulary, reaches `top_p`. Among these a token is drawn in
proportion to that probability. Nothing is approximated: if any row of a batch needs it, the whole
vocabulary is sorted, which costs time but never changes what a row gets.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

# Below this, dividing log-probabilities by the temperature would overflow float32; anything as
# cold takes the likeliest token anyway.
_COLDEST = 1e-6
_LARGE_MASS = 2.0

_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Per-row settings in the form that a step needs.

    Attributes:
        inverse_temperature: float32 [B, 1].
        ranks: int32 [B, 1], how many of the likeliest tokens are candidates; 1 is greedy.
        mass: float32 [B, 1], top_p, or more than any mass where the nucleus is everything.
        nucleus: bool [], whether any row limits the mass.
        most_ranks: int32 [], the largest of `ranks`.
    """

    inverse_temperature: tf.Tensor
    ranks: tf.Tensor
    mass: tf.Tensor
    nucleus: tf.Tensor
    most_ranks: tf.Tensor

    def parts(self) -> tuple[tf.Tensor, ...]:
        """The fields in order, which `Sampling(*parts)` takes back."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def prepare(
    temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor, vocabulary: int
) -> Sampling:
    """Turns valid request parameters, each [B], into what a step needs."""
    greedy = temperature <= 0
    ranks = tf.where(top_k == 0, vocabulary, tf.minimum(top_k, vocabulary))
    ranks = tf.where(greedy, 1, ranks)
    everything = greedy | (top_p >= 1)
    return Sampling(
        inverse_temperature=(1 / tf.maximum(temperature, _COLDEST))[:, tf.newaxis],
        ranks=ranks[:, tf.newaxis],
        mass=tf.where(everything, _LARGE_MASS, top_p)[:, tf.newaxis],
        nucleus=tf.reduce_any(~everything),
        most_ranks=tf.maximum(tf.reduce_max(ranks), 1),
    )


def uniforms(seeds: tf.Tensor, steps: tf.Tensor, done: tf.Tensor | int = 0) -> tf.Tensor:
    """Random numbers that depend on a row's seed and the step, and on nothing else.

    SplitMix64 over the step, started from the mixed seed, so that close seeds are unrelated.

    Args:
        seeds: int64 [B].
        steps: int32 [], how many to draw for each row.
        done: int32 [B] or [], how many of each row's numbers to leave out.

    Returns:
        float32 [steps, B] in [0, 1), multiples of 2**-24.
    """
    state = _mix(tf.bitcast(seeds, tf.uint64) + _constant(_GOLDEN))
    count = tf.cast(tf.range(1, steps + 1)[:, tf.newaxis] + done, tf.uint64)
    bits = tf.bitwise.right_shift(_mix(state + count * _constant(_GOLDEN)), _constant(40))
    # Through int64: 24 bits fit, and every device casts from it.
    return tf.cast(tf.cast(bits, tf.int64), tf.float32) * 2.0**-24


def _mix(state: tf.Tensor) -> tf.Tensor:
    for shift, factor in _MIX:
        state = tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, _constant(shift)))
        state *= _constant(factor)
    return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, _constant(31)))


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def choose(
    logits: tf.Tensor, uniform: tf.Tensor, sampling: Sampling, ranks: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws one token for each row by inverting the cumulative distribution.

    Args:
        logits: float32 [B, V].
        uniform: float32 [B] in [0, 1).
        sampling: the rows' settings.
        ranks: how many of the likeliest tokens to look at, `sampling.most_ranks` or more.

    Returns:
        The tokens, int32 [B], and their log-probabilities in nats under the model as it is,
        before temperature, top-k and top-p; float32 [B].
    """
    log_probabilities = tf.nn.log_softmax(logits)
    best, tokens = tf.math.top_k(log_probabilities, ranks)
    likeliest = best[:, :1]
    candidates = tf.cast(tf.range(ranks) < sampling.ranks, tf.float32)
    weights = tf.exp((best - likeliest) * sampling.inverse_temperature) * candidates

    def limit_mass() -> tf.Tensor:
        tempered = (log_probabilities - likeliest) * sampling.inverse_temperature
        whole = tf.reduce_sum(tf.exp(tempered), axis=1, keepdims=True)
        before = tf.cumsum(weights, axis=1, exclusive=True)
        return weights * tf.cast(before < sampling.mass * whole, tf.float32)

    weights = tf.cond(sampling.nucleus, limit_mass, lambda: weights)
    sums = tf.cumsum(weights, axis=1)
    # The first candidate whose cumulative weight exceeds the target; a rounded sum never leads
    # beyond the candidates, whose weight alone is positive.
    above = (sums > uniform[:, tf.newaxis] * sums[:, -1:]) & (weights > 0)
    rank = tf.argmax(above, axis=1, output_type=tf.int32)
    token = tf.gather(tokens, rank, batch_dims=1)
    return token, tf.gather(best, rank, batch_dims=1)
