"""The model's negative log-likelihood of texts of any length."""

from __future__ import annotations

import tensorflow as tf

from components.train.decoding import END_OF_TEXT, TextDecoder

# Windows scored at once: enough for the matrix products, little enough memory for the logits.
_CHUNK = 16


def score(decoder: TextDecoder, tokens: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores token sequences, each followed by the end-of-text.

    A sequence that fits the context is one window, which starts with the end-of-text. A longer
    one is read in windows of the context's length, each starting half a context after the one
    before and counted only from the first token that no earlier window counted; so every token
    is predicted from at least half a context, where there is as much.

    Args:
        decoder: the model.
        tokens: int32 [B, None].

    Returns:
        Nats, float32 [B], and how many tokens they are the sum over, int32 [B].
    """
    counts = tf.cast(tokens.row_lengths(), tf.int32) + 1
    rows = tf.shape(counts)[0]
    ends = tf.fill([rows, 1], END_OF_TEXT)
    # Sequences one after another, an end-of-text before, between and after them: what follows
    # an input is its target.
    stream = tf.concat([[END_OF_TEXT], tf.concat([tokens, ends], axis=1).values], axis=0)
    row, start, length = _windows(decoder.context, counts)
    overlap = decoder.context - decoder.context // 2

    def more(done: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return done < tf.size(row)

    def add(done: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chunk = slice(done, done + _CHUNK)
        width = tf.reduce_max(length[chunk])
        offsets = tf.range(width)
        first = tf.gather(tf.cumsum(counts, exclusive=True), row[chunk]) + start[chunk]
        inside = offsets < length[chunk][:, tf.newaxis]
        places = tf.where(inside, first[:, tf.newaxis] + offsets, 0)
        states, _ = decoder.hidden(tf.gather(stream, places))
        counted = inside & ((start[chunk] == 0)[:, tf.newaxis] | (offsets >= overlap))
        picked = tf.where(tf.reshape(counted, [-1]))[:, 0]
        targets = tf.gather(tf.reshape(tf.gather(stream, places + 1), [-1]), picked)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=targets, logits=tf.gather(states, picked) @ decoder.logits
        )
        owners = tf.gather(tf.repeat(row[chunk], width), picked)
        return done + _CHUNK, totals + tf.math.unsorted_segment_sum(nll, owners, rows)

    _, totals = tf.while_loop(more, add, (tf.constant(0), tf.zeros([rows])), parallel_iterations=1)
    return totals, counts


def _windows(context: int, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Row, first position and length of every window, longest first, all int32 [M]."""
    stride = max(context // 2, 1)
    windows = 1 + -(-tf.maximum(counts - context, 0) // stride)
    row = tf.repeat(tf.range(tf.size(counts)), windows)
    index = tf.range(tf.size(row)) - tf.gather(tf.cumsum(windows, exclusive=True), row)
    start = index * stride
    length = tf.minimum(tf.gather(counts, row) - start, context)
    # Windows of one length share a chunk, so that little is padding.
    order = tf.argsort(length, direction="DESCENDING", stable=True)
    return tf.gather(row, order), tf.gather(start, order), tf.gather(length, order)
