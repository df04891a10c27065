"""Tokenized examples as a stream of training windows: shuffled, repeatable, never all in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.errors import DataError

END_OF_TEXT = 0
SHUFFLE_WINDOWS = 8192
_RECORDS_PER_READ = 512

Tokens = npt.NDArray[np.int32]


def token_stream(shards: Sequence[Path]) -> Iterator[Tokens]:
    """Pieces of `0 text 0 text 0 ...`: every text comes after an end-of-text token."""
    import tensorflow as tf

    spec = {"tokens": tf.io.RaggedFeature(tf.int64)}
    records = tf.data.TFRecordDataset([str(path) for path in shards]).batch(_RECORDS_PER_READ)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, spec)["tokens"])
    for ragged in parsed.prefetch(2):
        ends = ragged.row_splits.numpy()[:-1]
        yield np.insert(ragged.values.numpy().astype(np.int32), ends, END_OF_TEXT)


def windows(shards: Sequence[Path], length: int, skip: int = 0) -> Iterator[Tokens]:
    """Cuts the stream into windows of `length` tokens; what is left at the end is dropped.

    Neighbours overlap by one token, so that every token but the first is predicted once.

    Args:
        shards: TFRecord files, in the order to read them.
        length: tokens in a window, one more than the model's context.
        skip: tokens to leave out at the start, so that the cuts fall elsewhere.
    """
    rest: Tokens = np.empty(0, np.int32)
    for piece in token_stream(shards):
        drop = min(skip, len(piece))
        skip -= drop
        rest = np.concatenate([rest, piece[drop:]])
        count = (len(rest) - 1) // (length - 1)
        for index in range(count):
            start = index * (length - 1)
            yield rest[start : start + length]
        rest = rest[max(count, 0) * (length - 1) :]


def shuffled(items: Iterator[Tokens], rng: np.random.Generator) -> Iterator[Tokens]:
    """Mixes a stream through a buffer of `SHUFFLE_WINDOWS`."""
    buffer = list(itertools.islice(items, SHUFFLE_WINDOWS))
    for item in items:
        chosen = int(rng.integers(len(buffer)))
        yield buffer[chosen]
        buffer[chosen] = item
    for index in rng.permutation(len(buffer)):
        yield buffer[index]


def training_batches(
    shards: Sequence[Path], context: int, batch_size: int, seed: int, start: int = 0
) -> Iterator[Tokens]:
    """Batches without end, the same for the same seed.

    Every pass over the data shuffles anew and cuts the windows elsewhere.

    Args:
        shards: TFRecord files.
        context: the model's context; a window has one token more.
        batch_size: windows in a batch.
        seed: of the order and the cuts.
        start: batches to pass over, those that a killed run has already seen.

    Yields:
        int32 `[batch_size, context + 1]`.

    Raises:
        DataError: there is not even one window.
    """

    def passes() -> Iterator[Tokens]:
        for epoch in itertools.count():
            rng = np.random.default_rng([seed, epoch])
            order = [shards[index] for index in rng.permutation(len(shards))]
            skip = int(rng.integers(context)) if epoch else 0
            found = 0
            for found, window in enumerate(  # noqa: B007
                shuffled(windows(order, context + 1, skip), rng), start=1
            ):
                yield window
            if not found and not epoch:
                raise DataError(_too_little("training", context))

    stream = itertools.islice(passes(), start * batch_size, None)
    while True:
        yield np.stack(list(itertools.islice(stream, batch_size)))


def evaluation_batches(
    shards: Sequence[Path], context: int, batch_size: int, tokens: int
) -> Tokens:
    """A fixed sample of the held-out windows, at most `tokens` tokens of them.

    Returns:
        int32 `[batches, windows, context + 1]`; fewer windows than `batch_size` if there are few.

    Raises:
        DataError: there is not even one window.
    """
    mixed = shuffled(windows(shards, context + 1), np.random.default_rng(0))
    wanted = max(batch_size, tokens // context)
    sample = list(itertools.islice(mixed, wanted))
    if not sample:
        raise DataError(_too_little("held-out", context))
    size = min(batch_size, len(sample))
    count = len(sample) // size
    return np.stack(sample[: count * size]).reshape(count, size, context + 1)


def _too_little(split: str, context: int) -> str:
    return (
        f"expected at least one window of {context + 1} tokens in the {split} split. "
        f"Received: less. Give more text or lower train.context"
    )
