"""The decoder-only Transformer that learns text, in pure Keras 3: it runs under any backend."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

NORM_EPSILON = 1e-5
INITIAL_STDDEV = 0.02


def layer_norm(x: Any, scale: Any) -> Any:
    """Normalises over the last axis, with a scale and no offset.

    The statistics are float32: in half precision they lose too much.
    """
    wide = ops.cast(x, "float32")
    centred = wide - ops.mean(wide, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    normal = centred * ops.rsqrt(variance + NORM_EPSILON)
    return ops.cast(normal * ops.cast(scale, "float32"), x.dtype)


def columns_by_head(width: int, heads: int) -> np.ndarray:
    """Which column of a `qkv` matrix each column of one that is ordered by head is.

    A matrix that devices share by columns is cut into equal, contiguous parts. In the order of
    `qkv` itself, all queries, then all keys, then all values, a part would be no head's own.
    """
    order = np.arange(3 * width).reshape(3, heads, width // heads)
    return np.transpose(order, (1, 0, 2)).reshape(-1)


class Block(keras.layers.Layer):
    """One pre-norm Transformer block: causal attention, then a GELU network, no offsets.

    Args:
        width, heads, dropout: as for `Decoder`.
        depth: blocks in the decoder.
        seed: of the initial weights and of dropout.
        by_head: whether the columns of `qkv` are ordered by head, as `columns_by_head` says.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        dropout: float,
        depth: int,
        seed: int,
        by_head: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.heads, self.by_head = width, heads, by_head
        # As in GPT-2, what adds to the residual stream starts smaller in a deeper network.
        residual = INITIAL_STDDEV / math.sqrt(2 * depth)
        self.attention_norm = self._scale("attention_norm")
        self.qkv = self._matrix("qkv", width, 3 * width, INITIAL_STDDEV, seed)
        self.project = self._matrix("project", width, width, residual, seed + 1)
        self.mlp_norm = self._scale("mlp_norm")
        self.expand = self._matrix("expand", width, 4 * width, INITIAL_STDDEV, seed + 2)
        self.contract = self._matrix("contract", 4 * width, width, residual, seed + 3)
        self.attention_dropout = keras.layers.Dropout(dropout, seed=seed + 4)
        self.mlp_dropout = keras.layers.Dropout(dropout, seed=seed + 5)
        self.built = True

    def _scale(self, name: str) -> Any:
        return self.add_weight(shape=(self.width,), initializer="ones", name=name)

    def _matrix(self, name: str, rows: int, columns: int, stddev: float, seed: int) -> Any:
        initializer = keras.initializers.RandomNormal(stddev=stddev, seed=seed)
        return self.add_weight(shape=(rows, columns), initializer=initializer, name=name)

    def call(self, x: Any, mask: Any, training: bool = False) -> Any:
        """Maps rows to rows.

        Args:
            x: `[batch * length, width]`; two axes, because matrix products run fastest so.
            mask: float `[length, length]`, 0 where a token may look and very negative elsewhere.
            training: whether dropout acts.
        """
        normal = layer_norm(x, self.attention_norm)
        attended = self._attend(ops.matmul(normal, self.qkv), mask)
        x = x + self.attention_dropout(ops.matmul(attended, self.project), training=training)
        hidden = ops.matmul(layer_norm(x, self.mlp_norm), self.expand)
        # The exact GELU by erf: `ops.gelu` goes through erfc, several times as slow under XLA.
        hidden = 0.5 * hidden * (1.0 + ops.erf(hidden * math.sqrt(0.5)))
        return x + self.mlp_dropout(ops.matmul(hidden, self.contract), training=training)

    def _attend(self, qkv: Any, mask: Any) -> Any:
        length, size = mask.shape[0], self.width // self.heads
        if self.by_head:
            apart, order = ops.reshape(qkv, (-1, length, self.heads, 3, size)), (3, 0, 2, 1, 4)
        else:
            apart, order = ops.reshape(qkv, (-1, length, 3, self.heads, size)), (2, 0, 3, 1, 4)
        heads = ops.transpose(apart, order)
        query, key, value = heads[0] * size**-0.5, heads[1], heads[2]
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = ops.softmax(ops.cast(scores, "float32") + mask, axis=-1)
        attended = ops.matmul(ops.cast(weights, value.dtype), value)
        return ops.reshape(ops.transpose(attended, (0, 2, 1, 3)), (-1, self.width))


@keras.saving.register_keras_serializable("loomline")
class Decoder(keras.Model):
    """A GPT-2 style language model with tied embeddings: tokens in, logits out.

    Args:
        vocabulary_size: number of token ids.
        context: longest sequence, in tokens.
        layers, width, heads: the shape; `heads` divides `width`.
        dropout: share of activations dropped in training.
        seed: of the initial weights and of dropout.
        by_head: as for `Block`; such a decoder is for training on many devices, not for saving.
    """

    def __init__(
        self,
        vocabulary_size: int,
        context: int = 128,
        layers: int = 4,
        width: int = 128,
        heads: int = 4,
        dropout: float = 0.0,
        seed: int = 0,
        by_head: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape_config = {
            "vocabulary_size": vocabulary_size,
            "context": context,
            "layers": layers,
            "width": width,
            "heads": heads,
            "dropout": dropout,
            "seed": seed,
        }
        # Seeds of different weights must differ; a block uses fewer than 10.
        seeds = range(1000 * seed, 1000 * seed + 10 * (layers + 1), 10)
        self.token_embedding = self._embedding("token_embedding", vocabulary_size, width, seeds[0])
        self.position_embedding = self._embedding(
            "position_embedding", context, width, seeds[0] + 1
        )
        self.embedding_dropout = keras.layers.Dropout(dropout, seed=seeds[0] + 2)
        self.blocks = [
            Block(
                width=width,
                heads=heads,
                dropout=dropout,
                depth=layers,
                seed=seeds[index + 1],
                by_head=by_head,
                dtype=self.dtype_policy,
                name=f"block_{index}",
            )
            for index in range(layers)
        ]
        self.final_norm = self.add_weight(shape=(width,), initializer="ones", name="final_norm")
        self.built = True

    def _embedding(self, name: str, rows: int, width: int, seed: int) -> Any:
        initializer = keras.initializers.RandomNormal(stddev=INITIAL_STDDEV, seed=seed)
        return self.add_weight(shape=(rows, width), initializer=initializer, name=name)

    def hidden(self, tokens: Any, training: bool = False) -> Any:
        """The residual stream after the final norm, `[batch * length, width]`."""
        length = tokens.shape[1]
        width = self.shape_config["width"]
        embedded = ops.take(ops.convert_to_tensor(self.token_embedding), tokens, axis=0)
        embedded = embedded + self.position_embedding[:length]
        x = self.embedding_dropout(ops.reshape(embedded, (-1, width)), training=training)
        mask = ops.convert_to_tensor(np.triu(np.full((length, length), -1e9, "float32"), k=1))
        for block in self.blocks:
            x = block(x, mask, training=training)
        return layer_norm(x, self.final_norm)

    def call(self, tokens: Any, training: bool = False) -> Any:
        """Logits of the token that follows each token.

        Args:
            tokens: int32 `[batch, length]`, length at most the context.
            training: whether dropout acts.

        Returns:
            Logits `[batch, length, vocabulary_size]`.
        """
        x = self.hidden(tokens, training=training)
        logits = ops.matmul(x, ops.transpose(self.token_embedding))
        return ops.reshape(logits, (-1, tokens.shape[1], self.shape_config["vocabulary_size"]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.shape_config}

    def numpy_weights(self) -> dict[str, np.ndarray]:
        """Every weight as float32, under the names that the export reads; `y = x @ matrix`."""
        weights = {
            "token_embedding": self.token_embedding,
            "position_embedding": self.position_embedding,
            "final_norm": self.final_norm,
        }
        for index, block in enumerate(self.blocks):
            for name in ("attention_norm", "qkv", "project", "mlp_norm", "expand", "contract"):
                weights[f"blocks.{index}.{name}"] = getattr(block, name)
        return {
            name: np.asarray(ops.convert_to_numpy(weight.value), "float32")
            for name, weight in weights.items()
        }
