"""Counts of word n-grams."""

from __future__ import annotations

import math

import pytest

from components.evaluate.diversity import (
    cut_to,
    distinct,
    distinct_deviation,
    repetition,
    words,
)


def test_words_are_lower_case_with_punctuation_apart() -> None:
    assert words("The state's duty, sir.") == ["the", "state", "'", "s", "duty", ",", "sir", "."]


def test_distinct_pools_the_texts() -> None:
    texts = [words("a b a b"), words("a b")]
    assert distinct(texts, 1) == pytest.approx(2 / 6)
    assert distinct(texts, 2) == pytest.approx(2 / 4)
    assert math.isnan(distinct([words("a")], 2))


def test_repetition_is_the_share_of_four_grams_seen_before() -> None:
    assert repetition(words("one two three four five")) == 0.0
    assert repetition(words("a a a a a a a a")) == pytest.approx(4 / 5)
    assert repetition(words("too short")) is None


def test_texts_are_cut_to_a_total_of_words() -> None:
    assert [len(text) for text in cut_to([["w"] * 5, ["w"] * 5, ["w"]], 7)] == [5, 2, 0]


def test_the_deviation_is_what_resampled_corpora_show() -> None:
    """Against the truth: the spread over many corpora of one source."""
    import numpy as np

    rng = np.random.default_rng(0)
    shares, deviations = [], []
    for _ in range(120):
        texts = [[f"w{word}" for word in rng.zipf(1.6, 60) % 400] for _ in range(40)]
        shares.append(distinct(texts, 2))
        deviations.append(distinct_deviation(texts, 2))
    # The jackknife errs on the wide side.
    assert 0.95 < np.mean(deviations) / np.std(shares) < 1.6


def test_the_deviation_needs_two_texts() -> None:
    assert math.isnan(distinct_deviation([words("a b c")], 2))
    assert math.isnan(distinct_deviation([], 1))
    assert distinct_deviation([words("a b"), words("c d")], 2) == 0
