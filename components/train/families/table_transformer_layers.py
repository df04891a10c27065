"""The layers of the table Transformer: content of cells, causal blocks, a head for each column.

Each column has one place in the sequence, where it is predicted. What a place is told is the
content of the column that comes before it in the order of the row, and which column it is to
predict; it attends to the places of the columns before it. So the order may differ from row to
row, as in sigma-GPT (Pannatier et al., 2024), while a column stays at its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

_WAVES = 7
_HIDDEN = -1e9


def features_of(values: Any) -> Any:
    """Numbers [..., V] of -1..1 as sines and cosines of rising frequency, [..., V, 15]."""
    values = tf.expand_dims(values, -1)
    angles = values * tf.constant([math.pi * 2.0**wave for wave in range(_WAVES)], values.dtype)
    return tf.concat([values, tf.sin(angles), tf.cos(angles)], axis=-1)


class _Weighted(layers.Layer):
    """A layer that makes its weights from a seed and uses them in the numbers of its input."""

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._seed = seed

    def _weight(self, name: str, shape: Sequence[int], deviation: float) -> Any:
        self._seed += 1
        initializer = keras.initializers.RandomNormal(0.0, deviation, seed=self._seed)
        return self.add_weight(shape=tuple(shape), initializer=initializer, name=name)


@keras.saving.register_keras_serializable("loomline")
class Cells(_Weighted):
    """What each cell holds, as a vector: `codes` [B, C] and `values` [B, V] to [B, C + 1, width].

    The last vector stands for nothing, before the first column of a row.

    Args:
        sizes: number of codes of each column.
        numbers: for each column its place among the values, or -1.
        width: of the vectors.
        seed: of the weights.
    """

    def __init__(
        self, sizes: Sequence[int], numbers: Sequence[int], width: int, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self._config: dict[str, Any] = {
            "sizes": sizes,
            "numbers": numbers,
            "width": width,
            "seed": seed,
        }
        self._starts = [sum(sizes[:place]) for place in range(len(sizes))]
        self._columns = [place for place, number in enumerate(numbers) if number >= 0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def build(self, *shapes: Any) -> None:
        sizes, width = self._config["sizes"], self._config["width"]
        count = 1 + 2 * _WAVES
        self.table = self._weight("embedding", [sum(sizes) + 1, width], 0.5)
        self.scales = self._weight("scales", [len(self._columns), count, width], count**-0.5)

    def call(self, codes: Any, values: Any) -> Any:
        places = codes + tf.constant(self._starts, codes.dtype)
        nothing = tf.fill([tf.shape(codes)[0], 1], sum(self._config["sizes"]))
        cells = tf.gather(self.table, tf.concat([places, nothing], 1))
        if not self._columns:
            return cells
        features = features_of(tf.cast(values, tf.float32))
        scales = tf.cast(self.scales, cells.dtype)
        added = tf.einsum("bvf,vfw->bvw", tf.cast(features, cells.dtype), scales)
        spread = tf.one_hot(self._columns, len(self._starts) + 1, dtype=cells.dtype)
        return cells + tf.einsum("bvw,vc->bcw", added, spread)

    def nothing(self) -> Any:
        """The vector [width] that stands for nothing."""
        return tf.convert_to_tensor(self.table)[-1]

    def one(self, place: int, codes: Any, values: Any) -> Any:
        """The vectors [B, width] of one column's cells; `codes` and `values` are [B]."""
        cell = tf.gather(self.table, codes + self._starts[place])
        if place not in self._columns:
            return cell
        scales = tf.convert_to_tensor(self.scales)[self._columns.index(place)]
        return cell + tf.linalg.matmul(features_of(values), scales)


@keras.saving.register_keras_serializable("loomline")
class Places(_Weighted):
    """Tells each place the cell before it and the column to predict: [B, C, width].

    Args:
        seed: of the weights.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self._first}

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self._first = seed

    def build(self, shape: Any, *shapes: Any) -> None:
        self.targets = self._weight("embedding", [shape[1] - 1, shape[2]], 0.5)

    def call(self, cells: Any, before: Any) -> Any:
        """`before` int32 [B, C] is the column before each; C for none."""
        told = tf.gather(cells, before, batch_dims=1)
        return told + tf.cast(self.targets, told.dtype)


@keras.saving.register_keras_serializable("loomline")
class CausalBlock(_Weighted):
    """Attention and a gated network of two layers, each on normalized input, residual.

    Args:
        heads: of the attention.
        dropout: share of what each half adds that is dropped.
        seed: of the weights.
    """

    def __init__(self, heads: int, dropout: float, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self._config: dict[str, Any] = {"heads": heads, "dropout": dropout, "seed": seed}
        self._heads = heads
        self._dropout = layers.Dropout(dropout, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def build(self, shape: Any, *shapes: Any) -> None:
        width = shape[-1]
        deviation = width**-0.5
        self.norms = self.add_weight(shape=(2, width), initializer="ones", name="norms")
        self.attended = self._weight("attended", [width, 3 * width], deviation)
        self.mixed = self._weight("mixed", [width, width], deviation / 2)
        self.hidden = self._weight("hidden", [width, 4 * width], deviation)
        self.out = self._weight("out", [2 * width, width], deviation / 2)

    def call(self, x: Any, visible: Any, training: bool | None = None) -> Any:
        """`visible` bool [B, C, C]: whether the place of a row may attend to a place."""
        query, key, value = self._projected(x)
        mixed = self._attention(query, key, value, visible)
        x = x + self._dropout(mixed, training=training)
        return x + self._dropout(self._network(x), training=training)

    def step(
        self, x: Any, given: Sequence[Any], own: tuple[list[Any], list[Any]], visible: Any
    ) -> Any:
        """The same for one place [B, width], after others.

        Args:
            x: of the place.
            given: keys and values [P, B, width] of places that are attended to.
            own: lists of keys and of values [B, width], of the places stepped to before; those of
                this place are added.
            visible: bool [P + places stepped to, B], which of all these count, this one last.
        """
        query, *here = self._projected(x)
        for places, new in zip(own, here, strict=True):
            places.append(new)
        key, value = (
            tf.concat([before, *(new[tf.newaxis] for new in after)], axis=0)
            for before, after in zip(given, own, strict=True)
        )
        # Heads are summed, and spread again, by one product with a matrix of ones and zeros: a
        # product for each row and head would move more than it computes.
        size = x.shape[1] // self._heads
        heads = tf.repeat(tf.eye(self._heads, dtype=x.dtype), size, axis=0)
        scores = tf.tensordot(query * key, heads, 1) * size**-0.5
        scores = tf.where(visible[..., tf.newaxis], scores, _HIDDEN)
        shares = tf.exp(scores - tf.reduce_max(scores, axis=0))
        shares /= tf.reduce_sum(shares, axis=0)
        mixed = tf.reduce_sum(tf.tensordot(shares, tf.transpose(heads), 1) * value, axis=0)
        x = x + _product(mixed, self.mixed)
        return x + self._network(x)

    def keys(self, x: Any) -> list[Any]:
        """Keys and values [C, B, width] of all places."""
        return [tf.transpose(each, [1, 0, 2]) for each in self._projected(x)[1:]]

    def _projected(self, x: Any) -> Any:
        return tf.split(_product(_normalized(x, self.norms[0]), self.attended), 3, axis=-1)

    def _attention(self, query: Any, key: Any, value: Any, visible: Any) -> Any:
        query, key, value = (self._split(each) for each in (query, key, value))
        scores = tf.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5
        scores = tf.where(visible[:, tf.newaxis], tf.cast(scores, tf.float32), _HIDDEN)
        shares = tf.cast(tf.nn.softmax(scores), value.dtype)
        mixed = tf.einsum("bhij,bjhd->bihd", shares, value)
        flat = tf.reshape(mixed, [-1, query.shape[1], query.shape[2] * query.shape[3]])
        return _product(flat, self.mixed)

    def _split(self, x: Any) -> Any:
        return tf.reshape(x, [-1, x.shape[1], self._heads, x.shape[2] // self._heads])

    def _network(self, x: Any) -> Any:
        both = _product(_normalized(x, self.norms[1]), self.hidden)
        gate, hidden = tf.split(both, 2, axis=-1)
        return _product(tf.nn.silu(gate) * hidden, self.out)


def _product(x: Any, weight: Any) -> Any:
    """The vectors [..., A] times a matrix [A, B], as one product.

    `tf.matmul` would take a product for each example, and sum as many gradients of the matrix.
    """
    return tf.tensordot(x, tf.cast(weight, x.dtype), 1)


def _normalized(x: Any, scale: Any) -> Any:
    """Scaled to a mean square of one (Zhang and Sennrich, 2019)."""
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(tf.square(wide), axis=-1, keepdims=True)
    return tf.cast(wide * tf.math.rsqrt(mean + 1e-5), x.dtype) * tf.cast(scale, x.dtype)


@keras.saving.register_keras_serializable("loomline")
class Heads(_Weighted):
    """Of each column the logits of its codes; of each number those of its bins, given the code.

    Args:
        sizes, numbers: as `Cells` has them.
        bins: of the values.
        seed: of the weights.
    """

    def __init__(
        self, sizes: Sequence[int], numbers: Sequence[int], bins: int, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self._config: dict[str, Any] = {
            "sizes": sizes,
            "numbers": numbers,
            "bins": bins,
            "seed": seed,
        }
        self._sizes = sizes
        self._starts = [sum(sizes[:place]) for place in range(len(sizes))]
        self._columns = [place for place, number in enumerate(numbers) if number >= 0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def build(self, shape: Any, *shapes: Any) -> None:
        width, bins, values = shape[-1], self._config["bins"], len(self._columns)
        total = sum(self._sizes)
        self.norm = self.add_weight(shape=(width,), initializer="ones", name="norm")
        self.codes = self._weight("codes", [total, width], width**-0.5 / 2)
        self.code_bias = self.add_weight(shape=(total,), initializer="zeros", name="code_bias")
        self.given = self._weight("embedding", [total, width], 0.5)
        self.values_in = self._weight("values_in", [values, width, width], width**-0.5)
        self.values_out = self._weight("values_out", [values, width, bins], width**-0.5 / 2)
        self.value_bias = self.add_weight(
            shape=(values, bins), initializer="zeros", name="value_bias"
        )

    def call(self, x: Any, codes: Any) -> tuple[Any, Any]:
        """The logits float32 [B, all codes], each column's beside the last's; [B, V, bins]."""
        x = _normalized(x, self.norm)
        logits = [self._code_logits(x[:, place], place) for place in range(len(self._sizes))]
        bins = [self._bin_logits(x[:, c], c, codes[:, c]) for c in self._columns]
        empty = tf.zeros([tf.shape(x)[0], 0, self._config["bins"]])
        return tf.concat(logits, 1), tf.stack(bins, 1) if bins else empty

    def code_logits(self, x: Any, place: int) -> Any:
        """The logits [B, size] of one column, from its place [B, width]."""
        return self._code_logits(_normalized(x, self.norm), place)

    def bin_logits(self, x: Any, place: int, codes: Any) -> Any:
        """The logits [B, bins] of one column's value, given its codes [B]."""
        return self._bin_logits(_normalized(x, self.norm), place, codes)

    def _code_logits(self, x: Any, place: int) -> Any:
        own = slice(self._starts[place], self._starts[place] + self._sizes[place])
        logits = tf.matmul(x, tf.cast(self.codes[own], x.dtype), transpose_b=True)
        return tf.cast(logits, tf.float32) + tf.cast(self.code_bias[own], tf.float32)

    def _bin_logits(self, x: Any, place: int, codes: Any) -> Any:
        number = self._columns.index(place)
        given = tf.cast(tf.gather(self.given, codes + self._starts[place]), x.dtype)
        hidden = tf.nn.silu(tf.matmul(x, tf.cast(self.values_in[number], x.dtype)) + given)
        logits = tf.matmul(hidden, tf.cast(self.values_out[number], x.dtype))
        return tf.cast(logits, tf.float32) + tf.cast(self.value_bias[number], tf.float32)
