"""What the decoder writes while it is trained: a few texts at each chosen step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

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
        self._draw = tf.function(self._sample, autograph=False)

    def write(self, step: int) -> None:
        """Continues nothing, with the same seeds each time."""
        tokens = self._draw()
        rows = [row[1:] for row in tokens.numpy().tolist()]
        ends = [row.index(_END_OF_TEXT) if _END_OF_TEXT in row else len(row) for row in rows]
        kept = [row[:end] for row, end in zip(rows, ends, strict=True)]
        ragged = tf.ragged.constant(kept, dtype=tf.int32, ragged_rank=1)
        texts = [text.decode("utf-8", "replace") for text in self._detokenize(ragged).numpy()]
        markdown = "\n\n".join(f"> {' '.join(text.split())}" for text in texts) + "\n"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"step-{step:06d}.md").write_text(markdown, "utf-8")
        self._events.write_text(step, "samples", markdown)

    def _sample(self) -> tf.Tensor:
        """int32 [TEXTS, length], the start token first.

        The whole window is computed for every token: no cache to keep in step with a model that
        changes, and a preview is a few hundred tokens.
        """
        embedding = tf.convert_to_tensor(self._model.token_embedding)
        width = embedding.shape[1]

        def draw(place: tf.Tensor, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            hidden = tf.reshape(self._model.hidden(tokens), [TEXTS, self._length, width])
            last = hidden[:, place - 1]
            logits = tf.matmul(last, tf.cast(embedding, last.dtype), transpose_b=True)
            best, ids = tf.math.top_k(tf.cast(logits, tf.float32), min(TOP_K, logits.shape[1]))
            seed = tf.stack([place, 0])
            chosen = tf.random.stateless_categorical(best / TEMPERATURE, 1, seed, tf.int32)
            token = tf.gather(ids, chosen, batch_dims=1)
            here = tf.range(self._length) == place
            return place + 1, tf.where(here, token, tokens)

        tokens = tf.fill([TEXTS, self._length], _END_OF_TEXT)
        _, tokens = tf.while_loop(
            lambda place, _: place < self._length, draw, (tf.constant(1), tokens)
        )
        return tokens
