"""What the decoder writes while it is trained: a few texts at each chosen step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from components.train.decoder import Decoder
from components.train.events import Events

TEXTS = 4
MOST_TOKENS = 64
TEMPERATURE = 0.8
TOP_K = 50
_END_OF_TEXT = 0


class TextPreviews:
    """Writes a preview as a file and into TensorBoard.

    Args:
        model: the decoder, whose weights are taken as they are at each preview.
        detokenize: ragged int32 [B, None] -> string [B].
        folder: gets `step-000350.md`.
        events: where TensorBoard looks.
    """

    def __init__(
        self,
        model: Decoder,
        detokenize: Callable[[tf.RaggedTensor], tf.Tensor],
        folder: Path,
        events: Events,
    ) -> None:
        self._model, self._detokenize = model, detokenize
        self._folder, self._events = folder, events
        self._length = min(MOST_TOKENS, int(model.shape_config["context"]))
        self._draw = _compiled(model, self._sample)

    def write(self, step: int) -> None:
        """Continues nothing, with the same seeds each time."""
        rows = [row[1:] for row in self._draw().tolist()]
        ends = [row.index(_END_OF_TEXT) if _END_OF_TEXT in row else len(row) for row in rows]
        kept = [row[:end] for row, end in zip(rows, ends, strict=True)]
        ragged = tf.ragged.constant(kept, dtype=tf.int32, ragged_rank=1)
        texts = [text.decode("utf-8", "replace") for text in self._detokenize(ragged).numpy()]
        markdown = "\n\n".join(f"> {' '.join(text.split())}" for text in texts) + "\n"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"step-{step:06d}.md").write_text(markdown, "utf-8")
        self._events.write_text(step, "samples", markdown)

    def _sample(self) -> Any:
        """int32 [TEXTS, length], the start token first.

        The whole window is computed for every token: no cache to keep in step with a model that
        changes, and a preview is a few hundred tokens.
        """
        embedding = ops.convert_to_tensor(self._model.token_embedding)
        vocabulary, width = embedding.shape
        most = min(TOP_K, vocabulary)
        # Drawn beforehand (Gumbel's trick), so that a preview is the same under every backend.
        noise = np.random.default_rng(0).gumbel(size=(self._length, TEXTS, most))
        noise = ops.convert_to_tensor(noise.astype("float32"))

        def draw(place: Any, tokens: Any) -> tuple[Any, Any]:
            hidden = ops.reshape(self._model.hidden(tokens), (TEXTS, self._length, width))
            last = ops.take(hidden, place - 1, axis=1)
            logits = ops.matmul(last, ops.transpose(ops.cast(embedding, last.dtype)))
            best, ids = ops.top_k(ops.cast(logits, "float32"), most)
            drawn = ops.argmax(best / TEMPERATURE + ops.take(noise, place, axis=0), axis=-1)
            token = ops.take_along_axis(ids, drawn[:, None], axis=1)
            here = ops.arange(self._length, dtype="int32") == place
            return place + 1, ops.where(here, ops.cast(token, "int32"), tokens)

        start = ops.convert_to_tensor(1, "int32")
        tokens = ops.full((TEXTS, self._length), _END_OF_TEXT, dtype="int32")
        _, tokens = ops.while_loop(lambda place, _: place < self._length, draw, (start, tokens))
        return tokens


def _compiled(model: Decoder, function: Callable[[], Any]) -> Callable[[], np.ndarray[Any, Any]]:
    """A function of the model's weights as they are at each call, compiled by Keras' backend."""
    if keras.backend.backend() != "jax":
        graph = tf.function(function, autograph=False)
        return lambda: np.asarray(graph())
    import jax

    def of_values(values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return function()

    compiled = jax.jit(of_values)
    return lambda: np.asarray(compiled([variable.value for variable in model.variables]))
