"""Transformed examples as training batches: shuffled by epoch, repeatable, resumable by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.artifacts import EVAL, TRAIN, TransformedExamples
from components.errors import DataError

# Below this the training split is kept in memory; above, it is read from disk in every epoch.
MEMORY_BYTES = 2**30
HELD_OUT_ROWS = 1024
_SHUFFLE_ROWS = 16_384
_RECORDS_PER_READ = 256

Arrays = dict[str, npt.NDArray[Any]]


def _features(statistics: Mapping[str, Any]) -> dict[str, tuple[list[int], Any, Any]]:
    """Of each feature its shape, and its type on disk and in a batch."""
    if statistics["modality"] == "image":
        return {
            "image": (list(statistics["shape"]), tf.float32, tf.float32),
            "label": ([], tf.int64, tf.int32),
        }
    columns = statistics["columns"]
    numbers = sum(column["value"] is not None for column in columns)
    return {
        "codes": ([len(columns)], tf.int64, tf.int32),
        "values": ([numbers], tf.float32, tf.float32),
    }


class ExampleBatches:
    """The training and held-out rows of transformed images or tables.

    Args:
        examples: what the transform step wrote.
        memory: bytes up to which the training split is kept in memory.

    Raises:
        DataError: a split has no rows.
    """

    def __init__(self, examples: TransformedExamples, memory: int = MEMORY_BYTES) -> None:
        self.statistics = examples.statistics()
        self._features = _features(self.statistics)
        self._shards = examples.shards(TRAIN)
        self._held_out_shards = examples.shards(EVAL)
        self.rows = int(self.statistics[TRAIN]["rows"])
        held_out = int(self.statistics[EVAL]["rows"])
        if not self.rows or not held_out or not self._shards or not self._held_out_shards:
            raise DataError(
                f"expected rows to train on and to hold out in {examples.path}. Received: "
                f"{self.rows} and {held_out}"
            )
        row_bytes = sum(4 * math.prod(shape) for shape, _, _ in self._features.values())
        self.in_memory = self.rows * row_bytes <= memory

    def _parse(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        stored = {
            name: tf.io.FixedLenFeature(shape, kind)
            for name, (shape, kind, _) in self._features.items()
            if 0 not in shape
        }
        parsed = tf.io.parse_example(records, stored)
        rows = tf.shape(records)[0]
        return {
            name: tf.cast(parsed[name], kind) if name in parsed else tf.zeros([rows, *shape], kind)
            for name, (shape, _, kind) in self._features.items()
        }

    def _records(self, shards: Sequence[Path]) -> Any:
        return tf.data.TFRecordDataset([str(path) for path in shards])

    def _load(self, records: Any) -> Arrays:
        parsed = records.batch(_RECORDS_PER_READ).map(self._parse, num_parallel_calls=2)
        batches = list(parsed.as_numpy_iterator())
        return {name: np.concatenate([batch[name] for batch in batches]) for name in self._features}

    def held_out(self, batch_size: int, rows: int = HELD_OUT_ROWS) -> list[dict[str, tf.Tensor]]:
        """The same sample of the held-out split each time, in whole batches (or one smaller)."""
        records = self._records(self._held_out_shards).shuffle(_SHUFFLE_ROWS, seed=0).take(rows)
        arrays = self._load(records)
        found = len(next(iter(arrays.values())))
        size = min(batch_size, found)
        return [
            {name: tf.constant(array[start : start + size]) for name, array in arrays.items()}
            for start in range(0, found - size + 1, size)
        ]

    def training(self, rows: int, seed: int, start: int = 0) -> Iterator[dict[str, tf.Tensor]]:
        """Batches without end, each epoch in an order of its own; prefetched.

        Args:
            rows: in each batch.
            seed: of the order.
            start: batches to leave out, which a resumed run has seen.
        """
        make = self._from_memory if self.in_memory else self._from_disk
        return iter(make(rows, seed, start * rows).prefetch(2))

    def _from_memory(self, rows: int, seed: int, position: int) -> Any:
        arrays = self._load(self._records(self._shards))
        found = len(next(iter(arrays.values())))
        if found != self.rows:
            raise DataError(f"expected {self.rows} rows in train/. Received: {found}")
        tensors = {name: tf.constant(array) for name, array in arrays.items()}

        def batches() -> Iterator[npt.NDArray[np.int32]]:
            order = _epochs(self.rows, seed, position)
            waiting = np.empty(0, np.int32)
            while True:
                while len(waiting) < rows:
                    waiting = np.concatenate([waiting, next(order)])
                yield waiting[:rows]
                waiting = waiting[rows:]

        chosen = tf.data.Dataset.from_generator(
            batches, output_signature=tf.TensorSpec([rows], tf.int32)
        )
        return chosen.map(
            lambda index: {name: tf.gather(tensor, index) for name, tensor in tensors.items()},
            num_parallel_calls=2,
        )

    def _from_disk(self, rows: int, seed: int, position: int) -> Any:
        """Records pass through a shuffling buffer, seeded by the epoch, as do the files' names."""
        epoch, offset = divmod(position, self.rows)
        shards = [str(path) for path in self._shards]
        # With a global seed of 0 TensorFlow looks at a dataset's own seed, which is symbolic here.
        tf.random.set_seed(seed + 1)

        def one(number: tf.Tensor) -> Any:
            files = tf.data.Dataset.from_tensor_slices(shards)
            files = files.shuffle(len(shards), seed=number + seed)
            records = tf.data.TFRecordDataset(files).shuffle(_SHUFFLE_ROWS, seed=number + seed)
            return records.skip(tf.where(number == epoch, np.int64(offset), np.int64(0)))

        epochs = tf.data.Dataset.counter(start=epoch)
        records = epochs.flat_map(one)
        return records.batch(rows, drop_remainder=True).map(
            self._parse, num_parallel_calls=tf.data.AUTOTUNE
        )


def _epochs(rows: int, seed: int, position: int) -> Iterator[npt.NDArray[np.int32]]:
    """Orders of epoch after epoch, from a position in the endless sequence on."""
    epoch, offset = divmod(position, rows)
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)
        yield order[offset:]
        epoch, offset = epoch + 1, 0
