"""Chunks of a generation, in a row, are what one call gives, and a bad request is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

PROMPTS = ["", "a", "the state", "of the people", "union con", "q" * 15]
NONE = np.zeros([1, 0], np.int32)


def ragged(rows: list[list[int]]) -> Any:
    """Rows padded with -1 to the longest, int32."""
    width = max(map(len, rows))
    return np.array([row + [-1] * (width - len(row)) for row in rows], np.int32).reshape(
        len(rows), width
    )


def stream(
    chunk: Callable[..., dict[str, Any]], prompts: list[str], chunk_tokens: Any, **parameters: Any
) -> dict[str, list[Any]]:
    """Asks for chunks until every row has finished; rows that have are asked on all the same."""
    tokens: list[list[int]] = [[] for _ in prompts]
    texts, logprobs = [b""] * len(prompts), [0.0] * len(prompts)
    finished = [False] * len(prompts)
    for _ in range(40):
        found = chunk(prompts, ragged(tokens), chunk_tokens=chunk_tokens, **parameters)
        for row, count in enumerate(found["num_tokens"]):
            new = found["tokens"][row].tolist()
            assert new[count:] == [-1] * (len(new) - count)
            if finished[row]:
                assert (count, found["text"][row], found["finished"][row]) == (0, b"", True)
                continue
            assert count <= np.broadcast_to(chunk_tokens, len(prompts))[row]
            tokens[row] += new[:count]
            texts[row] += found["text"][row]
            logprobs[row] += float(found["logprob"][row])
            finished[row] = bool(found["finished"][row])
        if all(finished):
            again = chunk(prompts, ragged(tokens), chunk_tokens=chunk_tokens, **parameters)
            assert again["finished"].all()
            assert not again["num_tokens"].any()
            return {"tokens": tokens, "text": texts, "logprob": logprobs}
    raise AssertionError("expected every row to finish")


def check(generate: Any, chunk: Any, chunk_tokens: Any, **parameters: Any) -> int:
    """Compares a stream with one call; returns how many tokens that were."""
    whole = generate(PROMPTS, **parameters)
    found = stream(chunk, PROMPTS, chunk_tokens, **parameters)
    texts = [text.decode("utf-8", "replace").encode() for text in found["text"]]
    assert texts == whole["text"].tolist()
    assert [len(row) for row in found["tokens"]] == whole["num_tokens"].tolist()
    assert found["logprob"] == pytest.approx(whole["logprob"].tolist(), abs=1e-3)
    return int(whole["num_tokens"].sum())


@pytest.mark.parametrize("temperature", [0.0, 0.8, 3.0])
@pytest.mark.parametrize("chunk_tokens", [1, 3, 100, [1, 2, 3, 4, 5, 6]])
def test_chunks_in_a_row_are_one_generation(
    generate: Any, chunk: Any, chunk_tokens: Any, temperature: float
) -> None:
    total = 0
    for first in range(0, 40, 8):
        seeds = list(range(first, first + len(PROMPTS)))
        settings = {"seed": seeds, "top_k": 40, "top_p": 0.95, "max_new_tokens": 14}
        total += check(generate, chunk, chunk_tokens, temperature=temperature, **settings)
    assert total > 100


def test_rows_with_settings_of_their_own_are_one_generation(generate: Any, chunk: Any) -> None:
    check(
        generate,
        chunk,
        [2, 1, 4, 3, 9, 2],
        max_new_tokens=[1, 5, 16, 9, 3, 2],
        temperature=[0.0, 0.5, 1.0, 2.0, 3.0, 1.0],
        top_k=[0, 0, 5, 300, 1, 50],
        top_p=[1.0, 0.2, 0.9, 1.0, 0.5, 0.99],
        seed=[-1, 0, 7, 2**40, 5, 6],
    )


@pytest.mark.parametrize("chunk_tokens", [2, 5])
def test_compiled_chunks_in_a_row_are_one_compiled_generation(
    generate_compiled: Any, chunk_compiled: Any, chunk_tokens: int
) -> None:
    for temperature in (0.0, 0.9):
        seeds = list(range(len(PROMPTS)))
        check(
            generate_compiled,
            chunk_compiled,
            chunk_tokens,
            temperature=temperature,
            seed=seeds,
            max_new_tokens=12,
        )


def test_rows_at_different_positions_do_not_depend_on_each_other(chunk: Any, generate: Any) -> None:
    settings = {"temperature": 1.5, "max_new_tokens": 10}
    tokens = [
        stream(chunk, [prompt], 10, seed=row, **settings)["tokens"][0]
        for row, prompt in enumerate(PROMPTS)
    ]
    before = [row[: 2 * index] for index, row in enumerate(tokens)]
    together = chunk(
        PROMPTS, ragged(before), chunk_tokens=2, seed=list(range(len(PROMPTS))), **settings
    )
    for row, prompt in enumerate(PROMPTS):
        alone = chunk([prompt], ragged([before[row]]), chunk_tokens=2, seed=row, **settings)
        count = alone["num_tokens"][0]
        assert together["num_tokens"][row] == count
        assert together["tokens"][row, :count].tolist() == alone["tokens"][0, :count].tolist()
        assert together["text"][row] == alone["text"][0]
        assert together["finished"][row] == alone["finished"][0]


def test_a_chunk_goes_on_where_other_tokens_lead(chunk: Any) -> None:
    """So what was generated is read, and not only counted."""
    settings = {"temperature": 0.0, "chunk_tokens": 4}
    found = {
        tuple(chunk(["the state"], [[token, token]], **settings)["tokens"][0])
        for token in range(1, 40)
    }
    assert len(found) > 5


def test_a_full_context_is_finished(chunk: Any) -> None:
    full = chunk(["q" * 12], [[5, 6, 7, 8]], max_new_tokens=50)
    assert (full["num_tokens"][0], full["finished"][0]) == (0, True)
    one = chunk(["q" * 12, "a"], [[5, 6, 7], [1, 2, 3]], max_new_tokens=50, temperature=[3.0, 0.0])
    assert one["num_tokens"][0] <= 1
    assert one["finished"][0]


def test_an_empty_batch_gives_an_empty_chunk(chunk: Any) -> None:
    found = chunk([], np.zeros([0, 3], np.int32))
    assert found["tokens"].shape == (0, 0)
    assert found["finished"].shape == (0,)


BAD_REQUESTS = [
    (NONE, {"chunk_tokens": 0}, "chunk_tokens must be 1 or more. Received: 0"),
    (NONE, {"chunk_tokens": [2, 3]}, "chunk_tokens has 2 values for 1 prompts; send 1 or as many"),
    (NONE, {"max_new_tokens": 0}, "max_new_tokens must be 1 or more. Received: 0"),
    (NONE, {"temperature": float("nan")}, "temperature must be finite, 0 or more. Received: nan"),
    (NONE, {"top_k": -1}, "top_k must be 0 for no limit, or more. Received: -1"),
    (NONE, {"top_p": 0.0}, "top_p must be above 0, at most 1. Received: 0"),
    ([[5, 264]], {}, "generated must be tokens from 1 to 263, then -1 as padding. Received: 264"),
    ([[5, 0]], {}, "generated must be tokens from 1 to 263, then -1 as padding. Received: 0"),
    ([[5, -1, 9]], {}, "generated must be tokens from 1 to 263, then -1 as padding. Received: -1"),
    ([[5, -7]], {}, "generated must be tokens from 1 to 263, then -1 as padding. Received: -7"),
    (
        [[5, 6, 7]],
        {"max_new_tokens": 2},
        "generated has 3 tokens, more than the 2 that max_new_tokens and the context allow",
    ),
    (
        [[5] * 16],
        {"max_new_tokens": 99},
        "generated has 16 tokens, more than the 15 that max_new_tokens and the context allow",
    ),
    ([[5], [6]], {}, "generated has 2 rows for 1 prompts; send one for each"),
    (NONE[:0], {}, "generated has 0 rows for 1 prompts; send one for each"),
]


@pytest.mark.parametrize(("generated", "parameters", "message"), BAD_REQUESTS)
def test_a_bad_request_is_named(
    chunk: Any, generated: Any, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed") as error:
        chunk(["a"], np.asarray(generated, np.int32), **parameters)
    assert message in error.value.message


def test_a_prompt_beyond_the_context_is_refused(chunk: Any) -> None:
    message = "prompt has 21 tokens, at most 15 fit the context of 16; shorten it"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        chunk(["q" * 21], NONE)
