"""TensorFlow Transform's `preprocessing_fn` for text; fit to be TFX Transform's `module_file`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import tf_utils

from components.transform import tokenizer
from components.transform.vocabulary import NO_SUBWORDS, LearnSubwords


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Turns text into tokens of a vocabulary learned from the same text.

    Args:
        inputs: `text`, string [B]; `example_id`, string [B], passed through.
        custom_config: `vocabulary_size`, the number of token ids.

    Returns:
        `example_id`, string [B]; `tokens`, sparse int64 [B, None], from the left without gaps.
    """
    texts = inputs["text"]
    words, _, counts = tf.unique_with_counts(tokenizer.split_words(texts).values)
    (vocabulary,) = tft.experimental.ptransform_analyzer(
        inputs=[words, counts],
        ptransform=LearnSubwords(int(custom_config["vocabulary_size"])),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[NO_SUBWORDS + b"\n"],
        name="subwords",
    )
    tokens = _tokenize(texts, vocabulary)
    return {
        "example_id": inputs["example_id"],
        "tokens": tf.cast(tokens, tf.int64).to_sparse(),
    }


def _tokenize(texts: tf.Tensor, vocabulary: tf.Tensor) -> tf.RaggedTensor:
    """Tokenizes with a vocabulary whose path is known only once the analyzer has run."""
    tables: list[tf.lookup.StaticHashTable] = []

    def make_table(path: str | tf.Tensor) -> tf.lookup.StaticHashTable:
        tables.append(tokenizer.vocabulary_table(path))
        return tables[0]

    # TensorFlow Transform makes the table where the asset's path is known, and this first
    # look-up ties the table to the analyzer; the matcher's loop then looks up by itself.
    first, _ = tf_utils.construct_and_lookup_table(make_table, vocabulary, tf.constant([""]))
    with tf.control_dependencies([first]):
        return tokenizer.tokenize(tf.identity(texts), tables[0].lookup)
