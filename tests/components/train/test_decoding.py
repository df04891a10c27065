"""Decoding through the SavedModel gives what recomputing everything in NumPy gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.transform.tokenizer import Tokenizer

PROMPTS = ["", "a", "the state", "of the people", "union con", "xyz xyz xyz"]


@pytest.fixture(scope="module")
def tokenizer(subwords_file: Path) -> Tokenizer:
    return Tokenizer(subwords_file)


def tokens_of(tokenizer: Tokenizer, text: str) -> list[int]:
    tokens: list[int] = tf.function(tokenizer.tokenize)(tf.constant([text])).to_list()[0]
    return tokens


def check_greedy(generate: Any, reference: Any, tokenizer: Tokenizer, batch: list[str]) -> None:
    result = generate(batch, max_new_tokens=30)
    for row, prompt in enumerate(batch):
        tokens, logprob = reference.greedy(tokens_of(tokenizer, prompt), 30)
        kept = [token for token in tokens if token != 0]
        text = tokenizer.detokenize(tf.ragged.constant([kept], tf.int32)).numpy()[0]
        assert result["text"][row] == text
        assert result["num_tokens"][row] == len(kept)
        assert result["logprob"][row] == pytest.approx(logprob, abs=2e-4)


@pytest.mark.parametrize("batch", [*[[prompt] for prompt in PROMPTS[:4]], PROMPTS, PROMPTS[3:0:-1]])
def test_greedy_equals_full_recomputation(
    generate: Any, reference: Any, tokenizer: Tokenizer, batch: list[str]
) -> None:
    check_greedy(generate, reference, tokenizer, batch)


@pytest.mark.parametrize("batch", [PROMPTS[2:3], PROMPTS])
def test_compiled_greedy_equals_full_recomputation(
    generate_compiled: Any, reference: Any, tokenizer: Tokenizer, batch: list[str]
) -> None:
    check_greedy(generate_compiled, reference, tokenizer, batch)


def test_a_row_does_not_depend_on_its_batch(generate: Any) -> None:
    seeds = list(range(10, 10 + len(PROMPTS)))
    settings = {"temperature": 0.9, "top_k": 20, "top_p": 0.9}
    together = generate(PROMPTS, seed=seeds, **settings)
    for row, prompt in enumerate(PROMPTS):
        alone = generate([prompt], seed=seeds[row], **settings)
        assert together["text"][row] == alone["text"][0]
        assert together["logprob"][row] == pytest.approx(alone["logprob"][0], abs=1e-4)


def test_a_row_keeps_its_result_beside_rows_with_other_settings(generate: Any) -> None:
    alone = generate(["the state"], temperature=0.8, top_k=5, top_p=1.0, seed=3)
    mixed = generate(
        ["the state", "a", ""],
        temperature=[0.8, 0.0, 1.3],
        top_k=[5, 0, 0],
        top_p=[1.0, 0.5, 0.7],
        seed=[3, 4, 5],
        max_new_tokens=[8, 1, 15],
    )
    assert mixed["text"][0] == alone["text"][0]
    assert mixed["num_tokens"][1] <= 1


def test_the_same_seed_gives_the_same_text_and_another_seed_another(generate: Any) -> None:
    first = generate(["the state"] * 2, temperature=1.0, seed=[1, 2])
    second = generate(["the state"] * 2, temperature=1.0, seed=[1, 2])
    assert list(first["text"]) == list(second["text"])
    assert first["text"][0] != first["text"][1]


@pytest.mark.parametrize("model", ["generate", "generate_compiled"])
@pytest.mark.parametrize("top_k", [3, 0])
def test_sampled_frequencies_follow_the_model(
    model: str, top_k: int, request: pytest.FixtureRequest, reference: Any, tokenizer: Tokenizer
) -> None:
    generate, rows = request.getfixturevalue(model), 2048
    result = generate(
        ["the state"] * rows, max_new_tokens=1, temperature=1.0, top_k=top_k, seed=list(range(rows))
    )
    logprobs = reference.log_probabilities([0, *tokens_of(tokenizer, "the state")])[-1]
    best = np.sort(logprobs)[::-1][: top_k or None]
    chances = np.exp(best) / np.exp(best).sum()
    # Tokens of different log-probability are told apart by it.
    ranks = np.abs(result["logprob"][:, np.newaxis] - best).argmin(axis=1)
    assert np.abs(result["logprob"] - best[ranks]).max() < 1e-4
    for rank in range(3):
        share, spread = chances[rank], np.sqrt(chances[rank] * (1 - chances[rank]) / rows)
        assert (ranks == rank).mean() == pytest.approx(share, abs=4.5 * spread)


def test_generation_stops_when_the_context_is_full(generate: Any, reference: Any) -> None:
    # 15 bytes that no subword covers: the longest prompt that fits a context of 16.
    result = generate(["qqqqqqqqqqqqqqq"], max_new_tokens=50, temperature=2.0)
    assert result["num_tokens"][0] <= 1
    result = generate([""], max_new_tokens=1000, temperature=5.0, seed=1)
    assert result["num_tokens"][0] <= 16


@pytest.mark.parametrize("texts", [["", "the state"], ["of the people of zzz " * 9, "a", "b" * 17]])
def test_score_equals_full_recomputation(
    portable_path: Path, reference: Any, tokenizer: Tokenizer, texts: list[str]
) -> None:
    score = tf.saved_model.load(str(portable_path)).signatures["score"]
    result = score(tf.constant(texts))
    for row, text in enumerate(texts):
        tokens = tokens_of(tokenizer, text)
        assert result["num_tokens"][row] == len(tokens) + 1
        assert float(result["nll"][row]) == pytest.approx(reference.nll(tokens), rel=2e-5)


def test_tokenize_gives_the_tokenizers_tokens(portable_path: Path, tokenizer: Tokenizer) -> None:
    tokenize = tf.saved_model.load(str(portable_path)).signatures["tokenize"]
    result = tokenize(tf.constant(PROMPTS))
    for row, prompt in enumerate(PROMPTS):
        wanted, count = tokens_of(tokenizer, prompt), int(result["num_tokens"][row])
        assert result["tokens"][row].numpy()[:count].tolist() == wanted
        assert (result["tokens"][row].numpy()[count:] == -1).all()


def test_an_empty_batch_gives_an_empty_result(generate: Any) -> None:
    assert generate([])["text"].shape == (0,)
