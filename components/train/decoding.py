"""Generation with a key-value cache, in stock TensorFlow operations.

The cache of a block is one tensor [2 * B * heads * positions, size], keys first, so that a step
writes both with one scatter, in place, and reads both without a copy.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from components.train.decoding_sampling import Sampling, choose, uniforms
from components.train.decoding_weights import DecodingWeights

END_OF_TEXT = 0
# Under XLA the number of candidates is fixed at compile time: this many, or the vocabulary.
COMPILED_RANKS = 64
_HIDDEN = -1e9


@dataclasses.dataclass(frozen=True)
class Continuation:
    """What was generated, for B rows and at most N steps.

    Attributes:
        tokens: int32 [B, N]; meaningful where `kept`.
        kept: bool [B, N], tokens of the text, the end-of-text not among them.
        logprob: float32 [B], nats, of the kept tokens and the end-of-text where it was drawn.
    """

    tokens: tf.Tensor
    kept: tf.Tensor
    logprob: tf.Tensor


class TextDecoder(tf.Module):  # type: ignore[misc]
    """The Transformer: whole sequences at once, or token by token with a cache."""

    def __init__(self, weights: DecodingWeights) -> None:
        super().__init__()
        self.heads = weights.heads
        self.width = weights.width
        self.size = weights.width // weights.heads
        self.context = weights.context
        self.vocabulary = weights.vocabulary
        self.tokens = _variable(weights.tokens, "tokens")
        self.positions = _variable(weights.positions, "positions")
        self.logits = _variable(weights.logits, "logits")
        self.blocks = [
            {
                field.name: _variable(getattr(block, field.name), f"block_{index}_{field.name}")
                for field in dataclasses.fields(block)
            }
            for index, block in enumerate(weights.blocks)
        ]
        self._compiled_loop = tf.function(
            functools.partial(self._loop, compiled=True), autograph=False, jit_compile=True
        )

    # --- whole sequences ---

    def hidden(self, tokens: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Runs whole sequences.

        Args:
            tokens: int32 [B, P], P at most the context.

        Returns:
            The normalized final states [B * P, d], and per block keys and values
            [2, B, heads, P, size].
        """
        batch, length = tf.unstack(tf.shape(tokens))
        order = tf.range(length)
        mask = tf.where(order[:, tf.newaxis] >= order, 0.0, _HIDDEN)
        x = tf.gather(self.tokens, tokens) + self.positions[:length]
        x = tf.reshape(x, [-1, self.width])
        caches = []
        for block in self.blocks:
            qkv = _normalize(x) @ block["qkv"]
            qkv = tf.reshape(qkv, [batch, length, 3, self.heads, self.size])
            query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
            shares = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + mask)
            attended = tf.transpose(shares @ value, [0, 2, 1, 3])
            x += tf.reshape(attended, [-1, self.width]) @ block["project"]
            x += _gelu(_normalize(x) @ block["expand"]) @ block["contract"]
            caches.append(tf.stack([key, value]))
        return _normalize(x), caches

    # --- token by token ---

    def step(
        self,
        tokens: tf.Tensor,
        at: tf.Tensor,
        caches: list[tf.Tensor],
        rows: tf.Tensor,
        masks: tf.Tensor,
        compiled: bool,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Runs one token of every row.

        Args:
            tokens: int32 [B].
            at: int32 [B], the position of each.
            caches: per block [2 * B * heads * W, size].
            rows: int32 [B, 2 * heads], where each row's keys and values begin in a cache.
            masks: float32 [W, W], what is added to the scores of a query by its position.
            compiled: whether XLA compiles the step.

        Returns:
            Logits [B, V], and the caches with the tokens added.
        """
        times = tf.matmul if compiled else _grouped_product(tf.size(tokens))
        places = tf.shape(masks)[1]
        written = tf.reshape(rows + at[:, tf.newaxis], [-1])
        now = (tf.range(places) == at[:, tf.newaxis])[:, tf.newaxis, :, tf.newaxis]
        mask = tf.gather(masks, at)[:, tf.newaxis]
        x = tf.gather(self.tokens, tokens) + tf.gather(self.positions, at)
        updated = []
        for block, cache in zip(self.blocks, caches, strict=True):
            qkv = times(_normalize(x), block["qkv"])
            query, added = tf.split(qkv, [self.width, 2 * self.width], axis=1)
            added = tf.reshape(added, [-1, self.size])
            if compiled:
                # XLA turns a scatter into a loop over its rows; choosing is one fused pass.
                shape = [2, -1, self.heads, places, self.size]
                added = tf.reshape(added, [-1, 2, self.heads, 1, self.size])
                added = tf.transpose(added, [1, 0, 2, 3, 4])
                cache = tf.where(now, added, tf.reshape(cache, shape))
            else:
                # In place, which tensor_scatter_nd_update is not inside a loop. Safe, because
                # nothing else ever reads the cache as it was.
                cache = tf.raw_ops.InplaceUpdate(x=cache, i=written, v=added)
            key, value = tf.unstack(tf.reshape(cache, [2, -1, places, self.size]))
            query = tf.reshape(query, [-1, 1, self.size])
            scores = tf.matmul(query, key, transpose_b=True)
            scores = tf.reshape(scores, [-1, self.heads, places]) + mask
            shares = tf.reshape(tf.nn.softmax(scores), [-1, 1, places])
            attended = tf.reshape(shares @ value, [-1, self.width])
            x += times(attended, block["project"])
            expanded = times(_normalize(x), block["expand"])
            x += times(_gelu(expanded), block["contract"])
            updated.append(tf.reshape(cache, [-1, self.size]))
        return times(_normalize(x), self.logits), updated

    def continue_text(
        self,
        tokens: tf.Tensor,
        lengths: tf.Tensor,
        limits: tf.Tensor,
        seeds: tf.Tensor,
        done: tf.Tensor,
        sampling: Sampling,
        compiled: bool,
    ) -> Continuation:
        """Generates until every row has ended or reached its limit.

        Args:
            tokens: int32 [B, P], the start token and what follows it, padded on the right.
            lengths: int32 [B], tokens of each that are not padding; 1 or more.
            limits: int32 [B], tokens to generate at most; `lengths + limits` is at most one
                more than the context.
            seeds: int64 [B].
            done: int32 [B], how many of the tokens were generated by earlier calls with the same
                seed, whose random numbers are not used again.
            sampling: settings of the rows.
            compiled: whether to compile the loop with XLA, for every batch size once.
        """
        batch, longest = tf.unstack(tf.shape(tokens))
        # The last token generated is never fed back, so it needs no place.
        fed = tf.maximum(longest, tf.reduce_max(lengths + limits) - 1)
        places = self.context if compiled else fed
        steps = self.context if compiled else tf.maximum(tf.reduce_max(limits), 1)
        states, caches = self.hidden(tokens)
        last = tf.range(batch) * longest + lengths - 1
        logits = tf.gather(states, last) @ self.logits
        padding = [[0, 0], [0, 0], [0, 0], [0, places - longest], [0, 0]]
        caches = [tf.reshape(tf.pad(cache, padding), [-1, self.size]) for cache in caches]
        noise = uniforms(seeds, steps, done)
        loop = self._compiled_loop if compiled else self._loop
        drawn, logprobs = loop(logits, lengths, limits, noise, sampling.parts(), caches)
        return _cut(drawn, logprobs, limits)

    def _loop(
        self,
        logits: tf.Tensor,
        lengths: tf.Tensor,
        limits: tf.Tensor,
        noise: tf.Tensor,
        parts: tuple[tf.Tensor, ...],
        caches: list[tf.Tensor],
        compiled: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws tokens until every row has ended; tokens and log-probabilities, both [N, B].

        Rows that have ended go on drawing, unheeded, while others are open.
        """
        sampling = Sampling(*parts)
        steps, batch = tf.unstack(tf.shape(noise))
        places = tf.shape(caches[0])[0] // tf.maximum(2 * batch * self.heads, 1)
        rows = tf.reshape(tf.range(2 * batch * self.heads) * places, [2, batch, self.heads])
        rows = tf.reshape(tf.transpose(rows, [1, 0, 2]), [batch, 2 * self.heads])
        order = tf.range(places)
        masks = tf.where(order[:, tf.newaxis] >= order, 0.0, _HIDDEN)

        def draw(logits: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            uniform = tf.gather(noise, index)
            if not compiled:
                return choose(logits, uniform, sampling, sampling.most_ranks)
            few = min(COMPILED_RANKS, self.vocabulary)
            token, logprob = tf.cond(
                sampling.most_ranks <= few,
                lambda: choose(logits, uniform, sampling, few),
                lambda: choose(logits, uniform, sampling, self.vocabulary),
            )
            return token, logprob

        def record(table: tf.Tensor, index: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_update(table, tf.reshape(index, [1, 1]), row[tf.newaxis])

        def advance(
            index: tf.Tensor,
            token: tf.Tensor,
            opened: tf.Tensor,
            drawn: tf.Tensor,
            logprobs: tf.Tensor,
            *caches: tf.Tensor,
        ) -> tuple[tf.Tensor, ...]:
            at = tf.minimum(lengths + index, places - 1)
            logits, updated = self.step(token, at, list(caches), rows, masks, compiled)
            index += 1
            token, logprob = draw(logits, index)
            opened = opened & (token != END_OF_TEXT) & (index + 1 < limits)
            drawn, logprobs = record(drawn, index, token), record(logprobs, index, logprob)
            return (index, token, opened, drawn, logprobs, *updated)

        first = tf.constant(0)
        token, logprob = draw(logits, first)
        opened = (token != END_OF_TEXT) & (limits > 1)
        drawn = record(tf.zeros([steps, batch], tf.int32), first, token)
        logprobs = record(tf.zeros([steps, batch]), first, logprob)
        state = tf.while_loop(
            lambda _index, _token, opened, *_: tf.reduce_any(opened),
            advance,
            (first, token, opened, drawn, logprobs, *caches),
            parallel_iterations=1,
        )
        return state[3], state[4]


def _cut(drawn: tf.Tensor, logprobs: tf.Tensor, limits: tf.Tensor) -> Continuation:
    """Leaves out what rows drew after their end; the tables are [N, B]."""
    tokens, logprobs = tf.transpose(drawn), tf.transpose(logprobs)
    ends = tokens == END_OF_TEXT
    ended = tf.cumsum(tf.cast(ends, tf.int32), axis=1, exclusive=True) > 0
    heeded = (tf.range(tf.shape(tokens)[1]) < limits[:, tf.newaxis]) & ~ended
    logprob = tf.reduce_sum(tf.where(heeded, logprobs, 0.0), axis=1)
    return Continuation(tokens, heeded & ~ends, logprob)


def _variable(value: object, name: str) -> tf.Variable:
    return tf.Variable(value, trainable=False, name=name)


def _normalize(x: tf.Tensor) -> tf.Tensor:
    """Layer norm, as far as it is not part of the weights; x is [rows, d]."""
    return x * tf.math.rsqrt(tf.reduce_sum(x * x, axis=1, keepdims=True))


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """GELU, as far as it is not part of the weights."""
    return x * (tf.math.erf(x) + 1.0)


def _grouped_product(rows: tf.Tensor) -> Callable[[tf.Tensor, tf.Variable], tf.Tensor]:
    """A matrix product [rows, k] @ [k, n] that is fast for a single row as well.

    TensorFlow's product of one vector and a matrix is several times slower with two threads than
    with one. As a batch of products of parts of the vector, it takes another kernel.
    """
    groups = tf.where(rows == 1, 4, 1)

    def times(x: tf.Tensor, matrix: tf.Variable) -> tf.Tensor:
        inner, outer = matrix.shape
        if inner % 4:
            return x @ matrix
        parts = tf.reshape(x, tf.stack([groups, -1, inner // groups]))
        matrices = tf.reshape(matrix, tf.stack([groups, inner // groups, outer]))
        return tf.reduce_sum(parts @ matrices, axis=0)

    return times
