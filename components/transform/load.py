"""Runs a transform graph inside another module, such as an exported model."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from components.artifacts import TransformGraph
from components.errors import DataError
from components.transform.tokenizer import VOCABULARY_NAME, Detokenizer


class TextTransform(tf.Module):  # type: ignore[misc]
    """The text transform as it was written by the transform step.

    Assigned to an attribute of a module that is saved, it takes graph and vocabulary along.
    """

    def __init__(self, folder: Path) -> None:
        """Loads the SavedModel in the folder `transform_fn`; see `load_transform`."""
        super().__init__(name="text_transform")
        self._loaded = tf.saved_model.load(str(folder))
        self._detokenizer = Detokenizer(folder / "assets" / VOCABULARY_NAME)
        # The graph takes one dictionary of features.
        self._features = self._loaded.transform_fn.graph.structured_input_signature[0][0]

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns texts into tokens by the transform graph itself.

        Args:
            texts: string [B], UTF-8.

        Returns:
            int32 [B, None]; an empty text has no token.
        """
        rows = tf.shape(texts)[:1]
        # Tokens depend on the text alone, so anything will do for the other features.
        inputs = {name: tf.zeros(rows, spec.dtype) for name, spec in self._features.items()}
        sparse = self._loaded.transform_fn({**inputs, "text": texts})["tokens"]
        return tf.cast(tf.RaggedTensor.from_sparse(sparse), tf.int32)

    def detokenize(self, tokens: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
        """Turns tokens back into text; see `Detokenizer.detokenize`."""
        return self._detokenizer.detokenize(tokens)

    def join_bytes(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """The bytes that tokens stand for; see `Detokenizer.join_bytes`."""
        return self._detokenizer.join_bytes(tokens)


def load_transform(graph: Path) -> TextTransform:
    """Loads the graph that the transform step wrote.

    Args:
        graph: folder in TFX's layout.

    Raises:
        DataError: there is no transform graph for text.
    """
    folder = TransformGraph(graph).transform_fn
    if not (folder / "saved_model.pb").is_file():
        raise DataError(f"expected a transform graph at {graph}. Received: no transform_fn there")
    return TextTransform(folder)
