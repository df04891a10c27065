"""The longest verbatim overlap equals that of a naive search."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluate import overlap
from components.evaluate.overlap import TrainingText, normalise


def naive(texts: list[str], text: str) -> int:
    """The longest run of characters of `text` that stands in one of `texts`."""
    corpus = [normalise(one) for one in texts]
    text = normalise(text)
    best = 0
    for start in range(len(text)):
        while start + best < len(text) and any(text[start : start + best + 1] in c for c in corpus):
            best += 1
    return best


@pytest.mark.parametrize("chunk", [64, 1 << 18])
@pytest.mark.parametrize("letters", ["ab", "abcdefgh ", "aé漢😀\n"])
def test_equals_a_naive_search(chunk: int, letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_CHUNK", chunk)
    draw = np.random.default_rng(len(letters))

    def some(length: int) -> str:
        return "".join(draw.choice(list(letters), length))

    texts = [some(int(length)) for length in draw.integers(0, 120, 12)]
    asked = [some(int(length)) for length in draw.integers(0, 60, 12)]
    asked += [some(9) + texts[3][5:75] + some(7), texts[4], "", "q", texts[5][:40] * 3]
    found = TrainingText(texts).longest(asked)
    assert [one.length for one in found] == [naive(texts, text) for text in asked]
    for text, one in zip(asked, found, strict=True):
        copied = normalise(text[one.start : one.end])
        assert len(copied) >= one.length - 2  # Spaces at the ends may be stripped.
        assert any(copied in normalise(other) for other in texts)


def test_whitespace_does_not_hide_a_copy_and_the_span_is_of_the_given_text() -> None:
    training = TrainingText(["We have  kept\nthe peace with all nations."])
    text = "And so:\n we have\n\nkept the\tpeace with none."
    (found,) = training.longest([text])
    assert found.length == len("e have kept the peace with ")
    assert text[found.start : found.end] == "e have\n\nkept the\tpeace with "


def test_an_overlap_does_not_run_across_two_training_texts() -> None:
    (found,) = TrainingText(["first part", "second part"]).longest(["first partsecond part"])
    assert found.length == len("second part")


def test_no_training_text_and_no_texts() -> None:
    assert TrainingText([]).longest(["abc"])[0].length == 0
    assert TrainingText(["abc"]).longest([]) == []
