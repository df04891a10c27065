"""Rows of a table as flat vectors, for families whose networks see the whole row at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from components.table_layout import TableLayout
from components.train.families.random_rows import drawn


class RowVectors:
    """The vector of a row: the one-hot codes of each column side by side, then the values.

    Args:
        layout: of the table.

    Attributes:
        starts: where the codes of each column begin.
        total: how many codes there are in all.
        width: of the vector.
    """

    def __init__(self, layout: TableLayout) -> None:
        self._layout = layout
        self.starts = [sum(layout.sizes[:place]) for place in range(len(layout.sizes))]
        self.total = sum(layout.sizes)
        self.width = self.total + layout.values

    def one_hot(self, codes: tf.Tensor) -> tf.Tensor:
        """Float32 [B, total] of codes int32 [B, C]."""
        parts = [tf.one_hot(codes[:, place], size) for place, size in enumerate(self._layout.sizes)]
        return tf.concat(parts, axis=1)

    def vector(self, codes: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Float32 [B, width] of codes int32 [B, C] and values float32 [B, V]."""
        return tf.concat([self.one_hot(codes), values], axis=1)

    def columns(self, logits: tf.Tensor) -> list[tf.Tensor]:
        """Of each column its part of [B, total]."""
        return list(tf.split(logits, self._layout.sizes, axis=1))

    def cross_entropies(self, logits: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        """Float32 [B, C]: nats that the code of each column takes; 0 where there is only one."""
        found = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=codes[:, place], logits=part)
            for place, part in enumerate(self.columns(logits))
        ]
        return tf.stack(found, axis=1)

    def present(self, codes: tf.Tensor) -> tf.Tensor:
        """Float32 [B, V]: 1 where a number is there, 0 where it is missing."""
        columns = [column for column in self._layout.columns if column.value is not None]
        if not columns:
            return tf.zeros([tf.shape(codes)[0], 0])
        modes = tf.constant([len(column.means) for column in columns])
        places = [self._layout.columns.index(column) for column in columns]
        return tf.cast(tf.gather(codes, places, axis=1) < modes, tf.float32)

    def of_chosen_modes(self, numbers: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        """Picks [B, V] from [B, total]: for each value the number at its column's code."""
        picked = [
            tf.gather(numbers, self.starts[place] + codes[:, place], axis=1, batch_dims=1)
            for place, column in enumerate(self._layout.columns)
            if column.value is not None
        ]
        return tf.stack(picked, axis=1) if picked else tf.zeros([tf.shape(codes)[0], 0])

    def draw_codes(
        self, logits: tf.Tensor, uniform: tf.Tensor, temperature: tf.Tensor
    ) -> tf.Tensor:
        """Draws codes int32 [B, C]; never the unknown category.

        Args:
            logits: float32 [B, total].
            uniform: float32 [B, C], of 0..1.
            temperature: float32 [B].
        """
        codes = []
        for place, (part, column) in enumerate(
            zip(self.columns(logits), self._layout.columns, strict=True)
        ):
            if column.unknown is not None:
                part += tf.one_hot(column.unknown, column.size, on_value=-math.inf, off_value=0.0)
            codes.append(drawn(part, uniform[:, place], temperature))
        return tf.stack(codes, axis=1)

    def conditions(self) -> Sequence[int]:
        """Places of the columns whose code says everything, and has more than one."""
        return [
            place
            for place, column in enumerate(self._layout.columns)
            if column.value is None and column.size > 1
        ]
