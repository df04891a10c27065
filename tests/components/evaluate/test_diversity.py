"""Counts of word n-grams."""

from __future__ import annotations

import math

import pytest

from components.evaluate.diversity import cut_to, distinct, repetition, words


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
