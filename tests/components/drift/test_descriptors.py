"""What the measures of a text say."""

from __future__ import annotations

import math

import pytest

from components.drift.descriptors import DESCRIPTORS, describe

TEXT = "The cat sat. The Xyzzy sat on 12 mats, didn't it?"


def _measured(text: str, known: frozenset[str] = frozenset()) -> dict[str, float]:
    names = [descriptor.name for descriptor in DESCRIPTORS]
    return dict(zip(names, describe(text, known), strict=True))


def test_a_text_is_measured_as_a_person_would_count() -> None:
    known = frozenset(["the", "cat", "sat", "on", "mats", "didn't", "it"])
    found = _measured(TEXT, known)
    assert found["characters"] == len(TEXT)
    assert found["words"] == 10
    assert found["words_per_sentence"] == 5
    assert found["word_length"] == pytest.approx(sum(map(len, TEXT.split())) / 10 - 0.5, abs=0.1)
    assert found["distinct_words"] == 0.8
    assert found["stop_words"] == 0.4
    assert found["unknown_words"] == 0.1
    assert found["upper_case"] == pytest.approx(3 / 33)
    assert found["digits"] == 2 / len(TEXT)
    assert found["punctuation"] == 4 / len(TEXT)
    assert found["non_letters"] == 6 / len(TEXT)


@pytest.mark.parametrize(
    "text", ["", " \n", "...", "123", "é", "日本語。", "\x00\ufffd", "a" * 5000]
)
def test_any_text_gives_finite_numbers(text: str) -> None:
    assert all(math.isfinite(value) for value in _measured(text).values())


def test_repeating_a_text_does_not_change_its_style() -> None:
    once, often = _measured(TEXT), _measured(f"{TEXT} " * 9)
    for name in ("words_per_sentence", "word_length", "stop_words", "unknown_words"):
        assert often[name] == pytest.approx(once[name])
