"""Writes a trained text model as a self-contained SavedModel: text in, text out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.decoding import END_OF_TEXT, Continuation, TextDecoder
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


def export_text(
    weights: dict[str, npt.NDArray[np.float32]],
    *,
    heads: int,
    graph: Path,
    destination: Path,
    xla: bool = False,
) -> None:
    """Writes the SavedModel with the signatures `generate`, `score` and `tokenize`.

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
            transform: has `tokenize(string [B]) -> int32 [B, None]` and its inverse `detokenize`.
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
        tokens = self.transform.tokenize(prompt)
        context = self.decoder.context
        lengths = tf.cast(tokens.row_lengths(), tf.int32)
        parameters = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        checks = [_check_lengths(lengths, context), *_check_parameters(parameters, tf.size(prompt))]
        with tf.control_dependencies(checks):
            rows = tf.concat([tf.fill([tf.size(prompt), 1], END_OF_TEXT), tokens], axis=1)
            rows = rows.to_tensor(END_OF_TEXT)
            wide = {
                name: tf.broadcast_to(value, tf.shape(prompt)) for name, value in parameters.items()
            }
        limits = tf.minimum(wide.pop("max_new_tokens"), context - lengths)
        result = self._continue(rows, lengths + 1, limits, wide)
        kept = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(result.tokens, result.kept),
            tf.reduce_sum(tf.cast(result.kept, tf.int32), axis=1),
            validate=False,
        )
        return {
            "text": self.transform.detokenize(kept),
            "num_tokens": tf.cast(kept.row_lengths(), tf.int32),
            "logprob": result.logprob,
        }

    def _continue(
        self,
        rows: tf.Tensor,
        lengths: tf.Tensor,
        limits: tf.Tensor,
        parameters: dict[str, tf.Tensor],
    ) -> Continuation:
        """Generates, with rows added: to have one, and compiled also to meet few batch sizes."""
        batch = tf.shape(rows)[0]
        size = _next_power_of_two(batch) if self.compiled else tf.maximum(batch, 1)
        added = size - batch
        rows = tf.pad(rows, [[0, added], [0, tf.cast(batch == 0, tf.int32)]])
        lengths = tf.pad(lengths, [[0, added]], constant_values=1)
        limits = tf.pad(limits, [[0, added]])
        parameters = {name: tf.pad(value, [[0, added]]) for name, value in parameters.items()}
        seeds = parameters.pop("seed")
        sampling = prepare(**parameters, vocabulary=self.decoder.vocabulary)
        result = self.decoder.continue_text(
            rows, lengths, limits, seeds, sampling, compiled=self.compiled
        )
        return Continuation(result.tokens[:batch], result.kept[:batch], result.logprob[:batch])

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


def _require(holds: tf.Tensor, *message: object) -> tf.Operation:
    """Fails the request with the message, its parts joined, unless all of `holds` is true."""
    parts = [tf.strings.as_string(part) if tf.is_tensor(part) else str(part) for part in message]
    return tf.debugging.Assert(tf.reduce_all(holds), [tf.strings.join(parts)])


def _first(values: tf.Tensor, holds: tf.Tensor) -> tf.Tensor:
    """The first value that does not hold, or anything if there is none."""
    wrong = tf.boolean_mask(values, ~holds)
    return tf.concat([wrong, tf.zeros([1], values.dtype)], axis=0)[0]


def _check_lengths(lengths: tf.Tensor, context: int) -> tf.Operation:
    fits = lengths < context
    most = f" tokens, at most {context - 1} fit the context of {context}; shorten it"
    return _require(fits, "prompt has ", _first(lengths, fits), most)


def _check_parameters(values: dict[str, tf.Tensor], batch: tf.Tensor) -> list[tf.Operation]:
    temperature, top_p = values["temperature"], values["top_p"]
    rules = {
        "max_new_tokens": (values["max_new_tokens"] >= 1, "1 or more"),
        "temperature": (tf.math.is_finite(temperature) & (temperature >= 0), "finite, 0 or more"),
        "top_k": (values["top_k"] >= 0, "0 for no limit, or more"),
        "top_p": ((top_p > 0) & (top_p <= 1), "above 0, at most 1"),
    }
    checks = []
    for name, value in values.items():
        size = tf.size(value)
        fits = (size == 1) | (size == batch)
        many = " prompts; send 1 or as many"
        checks.append(_require(fits, f"{name} has ", size, " values for ", batch, many))
    for name, (holds, expected) in rules.items():
        received = _first(values[name], holds)
        checks.append(_require(holds, f"{name} must be {expected}. Received: ", received))
    return checks
