"""An autoregressive Transformer over columns: exact likelihood, exact conditions on any columns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, Field

from components.errors import ConfigError
from components.table_layout import TableLayout
from components.train.families.family import Batch, Player, TableFamily
from components.train.families.random_rows import drawn, uniform_rows
from components.train.families.table_transformer_layers import (
    CausalBlock,
    Cells,
    Heads,
    Places,
)


class TransformerOptions(BaseModel):
    """The Transformer's own choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=64, ge=8, description="Numbers in the vector of a column.")
    layers: int = Field(default=2, ge=1, description="Blocks of attention.")
    heads: int = Field(default=4, ge=1, description="Heads of attention; they divide the width.")
    bins: int = Field(
        default=128, ge=2, description="Equal bins of a number within its mode, each uniform."
    )
    conditioned: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of training rows that are learnt with some columns, drawn at random, "
        "given first; 0 learns one order only, and conditions are met badly.",
    )


class TableTransformer(TableFamily):
    """Learns p(row) = prod_c p(column c | the columns before it), for many orders of the columns.

    The order of a row is: the columns that are known, then the others, both in the order of the
    schema. With none known that is the schema's order, in which `score` is exact:

        -log p(row) = sum_c [ -log p(code_c | before) - present_c log(p(bin_c | code_c, before)
                      bins / 2) ]

    where numbers have a mode as their code and a value of -1..1 within it, whose density is
    uniform within each bin of width 2 / bins. Training draws the known columns at random
    (as any-order models do: Uria et al., 2014; Pannatier et al., 2024), so that columns that are
    given come first and the others are drawn from the model's own conditional distribution.
    """

    title = "autoregressive Transformer over columns"
    Options = TransformerOptions

    def __init__(
        self, options: TransformerOptions, data: Mapping[str, Any], *, dropout: float, seed: int
    ) -> None:
        if options.width % options.heads:
            raise ConfigError(
                "train.family_options: expected heads that divide width. Received: width "
                f"{options.width} and heads {options.heads}"
            )
        self._options = options
        self._layout = TableLayout.from_json(data)
        sizes = self._layout.sizes
        numbers = [-1 if c.value is None else c.value for c in self._layout.columns]
        width, first = options.width, 10_007 * seed
        self._cells = Cells(sizes, numbers, width, first + 100, name="cells")
        self._places = Places(first + 200, name="places")
        self._blocks = [
            CausalBlock(options.heads, dropout, first + 300 + 100 * layer, name=f"block_{layer}")
            for layer in range(options.layers)
        ]
        self._heads = Heads(sizes, numbers, options.bins, first + 50, name="heads")
        self._network = self._build(len(sizes))

    def _build(self, columns: int) -> keras.Model:
        codes = keras.Input((columns,), dtype="int32", name="codes")
        values = keras.Input((self._layout.values,), dtype="float32", name="values")
        before = keras.Input((columns,), dtype="int32", name="before")
        visible = keras.Input((columns, columns), dtype="bool", name="visible")
        x = self._places(self._cells(codes, values), before)
        for block in self._blocks:
            x = block(x, visible)
        logits, bins = self._heads(x, codes)
        return keras.Model([codes, values, before, visible], [logits, bins], name="transformer")

    def networks(self) -> dict[str, keras.Model]:
        return {"transformer": self._network}

    def players(self) -> list[Player]:
        # At this rate flights are learnt best in a minute of two cores; at 1, hardly at all.
        return [Player("transformer", self._network.trainable_variables, rate=20.0, beta_2=0.99)]

    def loss(
        self, player: str, batch: Batch, seed: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Mean negative log-likelihood of a row in nats; on held-out data that of `score`."""
        codes, values = batch["codes"], batch["values"]
        known = tf.zeros(tf.shape(codes), tf.bool)
        if training:
            known = self._drawn_known(tf.shape(codes), seed)
        of_codes, of_values = self._nll(codes, values, known, training)
        code, value = tf.reduce_mean(of_codes), tf.reduce_mean(of_values)
        return code + value, {"code_nll": code, "value_nll": value}

    def _drawn_known(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Bool [B, C]: in some rows none; in the others each with a chance drawn for the row."""
        numbers = tf.random.stateless_uniform([shape[0], shape[1] + 2], seed)
        conditioned = numbers[:, :1] < self._options.conditioned
        return conditioned & (numbers[:, 2:] < numbers[:, 1:2])

    def _nll(
        self, codes: tf.Tensor, values: tf.Tensor, known: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """In nats, float32 [B]: of the codes; of the values, given the codes."""
        before, visible = order_of(known)
        logits, bins = self._network([codes, values, before, visible], training=training)
        of_codes = tf.zeros(tf.shape(codes)[:1])
        parts = tf.split(tf.cast(logits, tf.float32), self._layout.sizes, axis=1)
        for place, part in enumerate(parts):
            if part.shape[1] > 1:  # One code alone is certain.
                of_codes += _cross_entropy(codes[:, place], part)
        of_values = tf.zeros(tf.shape(codes)[:1])
        chosen = self._bins_of(values)
        width = math.log(2.0 / self._options.bins)
        for place, column in enumerate(self._layout.columns):
            if column.value is not None:
                present = tf.cast(codes[:, place] < len(column.means), tf.float32)
                one = _cross_entropy(
                    chosen[:, column.value], tf.cast(bins[:, column.value], tf.float32)
                )
                of_values += present * (one + width)
        return of_codes, of_values

    def _bins_of(self, values: tf.Tensor) -> tf.Tensor:
        bins = self._options.bins
        return tf.clip_by_value(tf.cast((values + 1) * (bins / 2), tf.int32), 0, bins - 1)

    def score(self, codes: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Exact, in the schema's order; the unknown category counts as one category."""
        known = tf.zeros(tf.shape(codes), tf.bool)
        of_codes, of_values = self._nll(codes, values, known, training=False)
        return of_codes + of_values

    def sample(
        self, known: tf.Tensor, codes: tf.Tensor, values: tf.Tensor, seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
        """Exact conditions. The unknown category is never drawn: the others share its chance."""
        columns = self._layout.columns
        known = tf.ensure_shape(known, [None, len(columns)])
        noise = uniform_rows(seed, 3 * len(columns))
        told, given = self._told_first(known, codes, values)
        placed: list[tuple[list[Any], list[Any]]] = [([], []) for _ in self._blocks]
        codes_out, values_out = tf.unstack(codes, axis=1), list(tf.unstack(values, axis=1))
        for place, column in enumerate(columns):
            uniform = noise[:, 3 * place : 3 * place + 3]
            here = tf.fill([tf.shape(codes)[0]], True)
            earlier = [~known[:, before] for before in range(place)]
            visible = tf.concat([given.known, tf.stack([*earlier, here])], axis=0)
            x = told + tf.convert_to_tensor(self._places.targets)[place]
            for block, layer, own in zip(self._blocks, given.layers, placed, strict=True):
                x = block.step(x, layer, own, visible)
            logits = self._heads.code_logits(x, place)
            if column.unknown is not None:
                logits += tf.one_hot(column.unknown, column.size, on_value=-math.inf, off_value=0.0)
            kept = known[:, place]
            code = tf.where(kept, codes_out[place], drawn(logits, uniform[:, 0], temperature))
            codes_out[place] = code
            value = tf.zeros(tf.shape(code))
            if column.value is not None:
                found = self._drawn_value(x, place, code, uniform[:, 1:], temperature)
                found = tf.where(kept, values_out[column.value], found)
                value = tf.where(code < len(column.means), found, 0.0)
                values_out[column.value] = value
            told = tf.where(kept[:, tf.newaxis], told, self._cells.one(place, code, value))
        return tf.stack(codes_out, 1), tf.stack(values_out, 1) if values_out else values

    def _drawn_value(
        self, x: tf.Tensor, place: int, code: tf.Tensor, uniform: tf.Tensor, temperature: tf.Tensor
    ) -> tf.Tensor:
        chosen = drawn(self._heads.bin_logits(x, place, code), uniform[:, 0], temperature)
        # The place within the bin; at a low temperature, closer to its middle.
        within = 0.5 + (uniform[:, 1] - 0.5) * tf.minimum(temperature, 1.0)
        return (tf.cast(chosen, tf.float32) + within) * (2.0 / self._options.bins) - 1.0

    def _told_first(
        self, known: tf.Tensor, codes: tf.Tensor, values: tf.Tensor
    ) -> tuple[tf.Tensor, _Given]:
        """What the first unknown column of each row is told, and what all unknown ones attend to.

        Where nothing is known in any row, nothing is computed, and there is nothing to attend to.
        """
        count, width = len(self._layout.columns), self._options.width

        def computed() -> tuple[Any, ...]:
            before, visible = order_of(known)
            cells = self._cells(codes, values)
            x = self._places(cells, before)
            layers = []
            for block in self._blocks:
                layers.append(block.keys(x))
                x = block(x, visible, training=False)
            last = tf.reduce_max(tf.where(known, tf.range(count), -1), axis=1)
            last = tf.where(last < 0, count, last)
            return tf.gather(cells, last, batch_dims=1), tf.transpose(known), layers

        def nothing() -> tuple[Any, ...]:
            rows = tf.shape(codes)[0]
            none = tf.zeros([0, rows, width])
            told = tf.broadcast_to(self._cells.nothing(), [rows, width])
            return told, tf.zeros([0, rows], tf.bool), [[none, none] for _ in self._blocks]

        told, places, layers = tf.cond(tf.reduce_any(known), computed, nothing)
        return told, _Given(places, layers)


@dataclasses.dataclass(frozen=True)
class _Given:
    """Keys and values [P, B, width] of each layer, and where they count, bool [P, B].

    P is the number of columns, or 0 where no row has a known one.
    """

    known: tf.Tensor
    layers: list[list[tf.Tensor]]


def order_of(known: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The order in which the columns of each row come: known ones, then the others.

    Args:
        known: bool [B, C].

    Returns:
        `before`, int32 [B, C], the column before each, C before the first; `visible`, bool
        [B, C, C], whether a column's place attends to another's.
    """
    columns = known.shape[1]
    rank = tf.where(known, 0, columns) + tf.range(columns)
    visible = rank[:, tf.newaxis, :] <= rank[:, :, tf.newaxis]
    earlier = tf.where(visible & ~tf.eye(columns, dtype=tf.bool), rank[:, tf.newaxis, :], -1)
    nearest = tf.argmax(earlier, axis=2, output_type=tf.int32)
    return tf.where(tf.reduce_max(earlier, axis=2) < 0, columns, nearest), visible


def _cross_entropy(codes: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=codes, logits=logits)
