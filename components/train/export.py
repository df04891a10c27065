"""Writes a trained text model as a self-contained SavedModel: text in, text out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.decoding import END_OF_TEXT, Continuation, TextDecoder
from components.train.decoding_checks import (
    PADDING,
    check_generated,
    check_generated_rows,
    check_parameters,
    check_prompts,
)
from components.train.decoding_sampling import prepare
from components.train.decoding_score import score
from components.train.decoding_weights import fold
from components.train.warmup import write_warmup

_TEXTS = tf.TensorSpec([None], tf.string)
_GENERATE = {
    "prompt": tf.TensorSpec([None], tf.string, "prompt"),
    "max_new_tokens": tf.TensorSpec([None], tf.int32, "max_new_tokens"),
    "temperature": tf.TensorSpec([None], tf.float32, "temperature"),
    "top_k": tf.TensorSpec([None], tf.int32, "top_k"),
    "top_p": tf.TensorSpec([None], tf.float32, "top_p"),
    "seed": tf.TensorSpec([None], tf.int64, "seed"),
}
_CHUNK = {
    "prompt": _GENERATE["prompt"],
    "generated": tf.TensorSpec([None, None], tf.int32, "generated"),
    **{name: spec for name, spec in _GENERATE.items() if name != "prompt"},
    "chunk_tokens": tf.TensorSpec([None], tf.int32, "chunk_tokens"),
}


def export_text(
    weights: dict[str, npt.NDArray[np.float32]],
    *,
    heads: int,
    graph: Path,
    destination: Path,
    xla: bool = False,
) -> None:
    """Writes the SavedModel: `generate`, `generate_chunk`, `score`, `tokenize`.

    The result needs neither this code nor the transform graph's folder. Without `xla` it holds
    stock TensorFlow operations only and runs where XLA is disabled, as TensorFlow Serving has it
    unless told otherwise. With `xla` the decoding loop is compiled for each batch size (1, 2, 4,
    ... 32 by the warmup requests, others rounded up to a power of two at the first call); the
    same seed then may give another text than without.

    Args:
        weights: the decoder's arrays, as `decoding_weights.fold` describes them.
        heads: attention heads.
        graph: folder of the transform graph, whose tokenizer goes into the model.
        destination: folder to write.
        xla: compile the decoding loop.

    Raises:
        ModelError: the weights are not those of a decoder.
    """
    from components.transform.load import load_transform

    decoder = TextDecoder(fold(weights, heads))
    save_model(TextModel(decoder, load_transform(graph), compiled=xla), destination)


def save_model(model: TextModel, destination: Path) -> None:
    """Writes a model with its signatures and its warmup requests as a SavedModel."""
    signatures = {
        "generate": model.generate,
        "generate_chunk": model.generate_chunk,
        "score": model.score,
        "tokenize": model.tokenize,
        "serving_default": model.generate,
    }
    tf.saved_model.save(model, str(destination), signatures=signatures)
    write_warmup(destination, compiled=model.compiled)


class TextModel(tf.Module):  # type: ignore[misc]
    """The transform and the decoder behind the signatures that are served."""

    def __init__(self, decoder: TextDecoder, transform: Any, compiled: bool) -> None:
        """Puts a model together.

        Args:
            decoder: the Transformer.
            transform: has `tokenize(string [B]) -> int32 [B, None]`, its inverse `detokenize`,
                and `join_bytes`, which gives the bytes before they are made valid text.
            compiled: whether XLA compiles the decoding loop.
        """
        super().__init__()
        self.decoder = decoder
        self.transform = transform
        self.compiled = compiled

    @tf.function(input_signature=list(_GENERATE.values()), autograph=False)  # type: ignore[untyped-decorator]
    def generate(
        self,
        prompt: tf.Tensor,
        max_new_tokens: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Continues prompts; each input has B values, each but the prompt may also have one.

        Generation stops at the end-of-text, after `max_new_tokens`, or when the context is full.
        What a row gets depends on its own inputs only, as far as float32 sums are exact.

        Returns:
            `text` string [B] without the prompt; `num_tokens` int32 [B] and `logprob` float32 [B]
            (nats under the unmodified model, the end-of-text included where it was drawn).
        """
        parameters = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        tokens, most, wide = self._accept(prompt, parameters)
        kept, logprob = self._continue(tokens, tf.zeros_like(most), most, wide)
        return {
            "text": self.transform.detokenize(kept),
            "num_tokens": tf.cast(kept.row_lengths(), tf.int32),
            "logprob": logprob,
        }

    @tf.function(input_signature=list(_CHUNK.values()), autograph=False)  # type: ignore[untyped-decorator]
    def generate_chunk(
        self,
        prompt: tf.Tensor,
        generated: tf.Tensor,
        max_new_tokens: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
        chunk_tokens: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Gives the next tokens of what `generate` gives, so that text can be shown as it grows.

        Nothing is kept between calls: the caller sends the tokens it has, with the same
        parameters each time, until `finished`. The chunks in a row are what one `generate` call
        gives, whatever their sizes, as far as float32 sums are exact: a chunk reads the tokens so
        far at once, where `generate` read them one by one, and so rounds otherwise (in 376,000
        tokens of a quick model, greedy and sampled, two were drawn otherwise). A call after
        `finished` gives no token, and `finished` again.

        Args:
            generated: int32 [B, G], the tokens so far, padded on the right with -1; G may be 0.
            max_new_tokens: limit of the whole continuation, as in `generate`.
            chunk_tokens: how many new tokens to give at most; B values, or one.

        Returns:
            `tokens` int32 [B, most], padded with -1, without the end-of-text; `text` string [B],
            their bytes as they are, so a character may be cut in two (decoding the bytes of all
            chunks with U+FFFD for those that make no character gives `generate`'s text);
            `num_tokens` int32 [B]; `logprob` float32 [B] of this chunk, in nats, the end-of-text
            included where it was drawn; `finished` bool [B].
        """
        parameters = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
            "chunk_tokens": chunk_tokens,
        }
        tokens, most, wide = self._accept(prompt, parameters)
        with tf.control_dependencies([check_generated_rows(generated, tf.size(most))]):
            counts = tf.reduce_sum(tf.cast(generated != PADDING, tf.int32), axis=1)
        checks = check_generated(generated, counts, most, self.decoder.vocabulary)
        with tf.control_dependencies(checks):
            before = tf.RaggedTensor.from_tensor(generated, lengths=counts)
            limits = tf.minimum(wide.pop("chunk_tokens"), most - counts)
        kept, logprob = self._continue(tf.concat([tokens, before], axis=1), counts, limits, wide)
        added = tf.cast(kept.row_lengths(), tf.int32)
        return {
            "tokens": kept.to_tensor(PADDING),
            "text": self.transform.join_bytes(kept),
            "num_tokens": added,
            "logprob": logprob,
            # Fewer tokens than asked for means that the end-of-text was drawn.
            "finished": (added < limits) | (counts + added >= most),
        }

    def _accept(
        self, prompt: tf.Tensor, parameters: dict[str, tf.Tensor]
    ) -> tuple[tf.RaggedTensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Tokenizes and checks a request.

        Returns:
            The prompts' tokens, how many may follow each (int32 [B]), and the other parameters
            with a value for every row.
        """
        tokens = self.transform.tokenize(prompt)
        lengths = tf.cast(tokens.row_lengths(), tf.int32)
        context = self.decoder.context
        checks = [check_prompts(lengths, context), *check_parameters(parameters, tf.size(prompt))]
        with tf.control_dependencies(checks):
            tokens = tokens.with_flat_values(tf.identity(tokens.flat_values))
            wide = {
                name: tf.broadcast_to(value, tf.shape(prompt)) for name, value in parameters.items()
            }
        most = tf.minimum(wide.pop("max_new_tokens"), context - lengths)
        return tokens, most, wide

    def _continue(
        self,
        tokens: tf.RaggedTensor,
        done: tf.Tensor,
        limits: tf.Tensor,
        parameters: dict[str, tf.Tensor],
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Generates, with rows added: to have one, and compiled also to meet few batch sizes.

        Args:
            tokens: the tokens of each row, the start token not among them.
            done: int32 [B], how many of them were generated.
            limits: int32 [B], how many to generate at most; 0 where the context is full.
            parameters: `temperature`, `top_k`, `top_p` and `seed`, each [B].

        Returns:
            The new tokens, and their log-probability [B].
        """
        batch = tf.shape(done)[0]
        rows = tf.concat([tf.fill([batch, 1], END_OF_TEXT), tokens], axis=1)
        lengths = tf.minimum(tf.cast(rows.row_lengths(), tf.int32), self.decoder.context)
        # A row that fills the context to its last token gets no more of them.
        rows = rows.to_tensor(END_OF_TEXT)[:, : self.decoder.context]
        size = _next_power_of_two(batch) if self.compiled else tf.maximum(batch, 1)
        added = size - batch
        rows = tf.pad(rows, [[0, added], [0, tf.cast(batch == 0, tf.int32)]])
        lengths = tf.pad(lengths, [[0, added]], constant_values=1)
        limits, done = tf.pad(limits, [[0, added]]), tf.pad(done, [[0, added]])
        parameters = {name: tf.pad(value, [[0, added]]) for name, value in parameters.items()}
        seeds = parameters.pop("seed")
        sampling = prepare(**parameters, vocabulary=self.decoder.vocabulary)
        result = self.decoder.continue_text(
            rows, lengths, limits, seeds, done, sampling, compiled=self.compiled
        )
        return _ragged(result, batch), result.logprob[:batch]

    @tf.function(input_signature=[_TEXTS], autograph=False)  # type: ignore[untyped-decorator]
    def score(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores texts of any length, each with its end-of-text.

        Returns:
            `nll` float32 [B] in nats, and `num_tokens` int32 [B], which it is the sum over.
        """
        nll, counts = score(self.decoder, self.transform.tokenize(text))
        return {"nll": nll, "num_tokens": counts}

    @tf.function(input_signature=[_TEXTS], autograph=False)  # type: ignore[untyped-decorator]
    def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokenizes texts.

        Returns:
            `tokens` int32 [B, most], padded with -1, and `num_tokens` int32 [B].
        """
        tokens = self.transform.tokenize(text)
        counts = tf.cast(tokens.row_lengths(), tf.int32)
        return {"tokens": tokens.to_tensor(-1), "num_tokens": counts}


def _next_power_of_two(count: tf.Tensor) -> tf.Tensor:
    powers = 2 ** tf.range(31)
    return tf.reduce_min(tf.boolean_mask(powers, powers >= count))


def _ragged(result: Continuation, batch: tf.Tensor) -> tf.RaggedTensor:
    """The kept tokens of the first `batch` rows."""
    kept = result.kept[:batch]
    return tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(result.tokens[:batch], kept),
        tf.reduce_sum(tf.cast(kept, tf.int32), axis=1),
        validate=False,
    )
