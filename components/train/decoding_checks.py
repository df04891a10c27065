"""What a text model refuses, as assertions in its graph, each with one clear message."""

from __future__ import annotations

import tensorflow as tf

from components.train.graph_checks import first_wrong, one_or_as_many, require

PADDING = -1


def check_prompts(lengths: tf.Tensor, context: int) -> tf.Operation:
    """Refuses a prompt of so many tokens that none could follow; `lengths` is int32 [B]."""
    fits = lengths < context
    most = f" tokens, at most {context - 1} fit the context of {context}; shorten it"
    return require(fits, "prompt has ", first_wrong(lengths, fits), most)


def check_parameters(values: dict[str, tf.Tensor], batch: tf.Tensor) -> list[tf.Operation]:
    """Refuses parameters that are out of range, or neither one nor as many as the prompts.

    Args:
        values: those of `generate`, and `chunk_tokens` where a chunk is asked for.
        batch: int32 [], the number of prompts.
    """
    temperature, top_p = values["temperature"], values["top_p"]
    rules = {
        "temperature": (tf.math.is_finite(temperature) & (temperature >= 0), "finite, 0 or more"),
        "top_k": (values["top_k"] >= 0, "0 for no limit, or more"),
        "top_p": ((top_p > 0) & (top_p <= 1), "above 0, at most 1"),
    }
    for name in ("max_new_tokens", "chunk_tokens"):
        if name in values:
            rules[name] = (values[name] >= 1, "1 or more")
    checks = [one_or_as_many(name, value, batch, "prompts") for name, value in values.items()]
    for name, (holds, expected) in rules.items():
        received = first_wrong(values[name], holds)
        checks.append(require(holds, f"{name} must be {expected}. Received: ", received))
    return checks


def check_generated_rows(generated: tf.Tensor, batch: tf.Tensor) -> tf.Operation:
    """Refuses another number of rows than there are prompts; `generated` is int32 [B, G]."""
    rows = tf.shape(generated)[0]
    words = ("generated has ", rows, " rows for ", batch, " prompts; send one for each")
    return require(rows == batch, *words)


def check_generated(
    generated: tf.Tensor, counts: tf.Tensor, most: tf.Tensor, vocabulary: int
) -> list[tf.Operation]:
    """Refuses tokens that no call can have given.

    Args:
        generated: int32 [B, G], padded on the right with -1.
        counts: int32 [B], tokens of each row that are not padding.
        most: int32 [B], how many `generate` would give at most.
        vocabulary: number of tokens; the first, the end-of-text, is never among `generated`.
    """
    inside = tf.range(tf.shape(generated)[1]) < counts[:, tf.newaxis]
    known = ~inside | ((generated > 0) & (generated < vocabulary))
    padded = inside | (generated == PADDING)
    holds = known & padded
    expected = f"1 to {vocabulary - 1}, then {PADDING} as padding"
    words = (f"generated must be tokens from {expected}. Received: ", first_wrong(generated, holds))
    fits = counts <= most
    most_allowed = first_wrong(most, fits)
    many = ("generated has ", first_wrong(counts, fits), " tokens, more than the ", most_allowed)
    allowed = " that max_new_tokens and the context allow"
    return [require(holds, *words), require(fits, *many, allowed)]
