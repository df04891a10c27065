"""Draws the samples that are judged, and the human text that they are judged beside."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from components.evaluate.options import EvaluateOptions
from components.evaluate.served_model import ServedModel, Settings

_PROMPT_WORDS = 6
_EMPTY_PROMPT_EVERY = 4
_OPENING = re.compile(rf"\s*(?:\S+\s+){{{_PROMPT_WORDS}}}")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One generated text.

    Attributes:
        prompt: what the model continued; may be empty.
        text: the continuation.
        human: how the held-out text went on instead, cut to the sample's length.
        num_tokens: new tokens, the end not counted.
        ended: whether the model ended the text itself.
        logprob: nats of the new tokens.
        seed: gives the same text again.
    """

    prompt: str
    text: str
    human: str
    num_tokens: int
    ended: bool
    logprob: float
    seed: int


def draw(
    model: ServedModel, texts: Sequence[str], context: int | None, options: EvaluateOptions
) -> tuple[list[Sample], float]:
    """Samples from openings of held-out texts, every fourth from the empty prompt.

    Args:
        model: is called through its `generate` signature only.
        texts: held-out texts.
        context: the model's context in tokens where known; prompt and sample are kept within it.
        options: how many, how long, and the sampling settings.

    Returns:
        The samples, and generated tokens per second of wall time, warmed up.
    """
    pairs = _prompts(texts, options)
    counts = model.token_counts([prompt for prompt, _ in pairs])
    if context is not None:
        # Where words are many tokens and the context is short, an opening may not fit.
        fits = [count <= context // 2 for count in counts]
        pairs = [pair if fit else ("", pair[1]) for pair, fit in zip(pairs, fits, strict=True)]
        counts = [count if fit else 0 for count, fit in zip(counts, fits, strict=True)]
    room = [options.sample_tokens if context is None else context - 1 - count for count in counts]
    limits = [min(options.sample_tokens, tokens) for tokens in room]
    prompts = [prompt for prompt, _ in pairs]
    seeds = [options.seed + place for place in range(len(pairs))]
    settings = Settings(options.temperature, options.top_k, options.top_p)
    print(f"progress: generate {len(prompts)} samples", flush=True)
    model.generate(prompts[:2], [2, 2], seeds[:2], settings)
    made = model.generate(prompts, limits, seeds, settings)
    samples = [
        Sample(
            prompt,
            text,
            human[: len(text)],
            made.num_tokens[place],
            made.num_tokens[place] < limits[place],
            made.logprobs[place],
            seeds[place],
        )
        for place, ((prompt, human), text) in enumerate(zip(pairs, made.texts, strict=True))
    ]
    return samples, sum(made.num_tokens) / max(made.seconds, 1e-9)


def _prompts(texts: Sequence[str], options: EvaluateOptions) -> list[tuple[str, str]]:
    """Prompts, each with the human text that follows it."""
    order = np.random.default_rng(options.seed).permutation(len(texts))
    openings = [
        (found.group().rstrip(), texts[row][len(found.group().rstrip()) :])
        for row in order
        if (found := _OPENING.match(texts[row]))
    ]
    pairs: list[tuple[str, str]] = []
    for place in range(options.samples):
        if place % _EMPTY_PROMPT_EVERY and openings:
            pairs.append(openings[place % len(openings)])
        else:
            pairs.append(("", texts[order[place % len(order)]]))
    return pairs
