"""Words of a list are found as they are meant, and words that only look like them are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import ConfigError
from components.guards.words import LISTS, WordList, fold


def found(text: str, **options: object) -> list[str]:
    (score,) = WordList(**options).score([text])  # type: ignore[arg-type]
    assert score.value == bool(score.spans)
    return [text[span.start : span.end] for span in score.spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What the CRAP is this", ["CRAP"]),
        ("craaaap!", ["craaaap"]),
        ("c.r.a.p", ["c.r.a.p"]),
        ("C R A P", ["C R A P"]),
        ("cr4p and cr@p", ["cr4p", "cr@p"]),
        ("cr*p", ["cr*p"]),
        ("сrаp", ["сrаp"]),
        ("ｃｒａｐ", ["ｃｒａｐ"]),
        ("cra\u200bp", ["cra\u200bp"]),
        ("cráp", ["cráp"]),
        ("𝐜𝐫𝐚𝐩", ["𝐜𝐫𝐚𝐩"]),
        ("go  to\nhell", ["go  to\nhell"]),
        ("morons, moron.", ["morons", "moron"]),
        ("imbeciles", ["imbeciles"]),
        ("a$$", ["a$$"]),
        ("", []),
        ("scrap crape Scunthorpe bass assess class", []),
        ("455 455-1234", []),
        ("as S. Smith", []),
        ("c r a", []),
        ("ﬁne print ½ ß İ", []),
    ],
)
def test_a_word_is_found_however_it_is_written(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_spans_fit_texts_whose_letters_fold_to_more(tmp_path: Path) -> None:
    text = "ﬀﬀ straße: crap"
    assert found(text) == ["crap"]
    folded, places = fold("ﬁß")
    assert (folded, places) == ("fiss", [0, 0, 1, 1])


def test_own_lists_words_and_exceptions(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# ours\nZebra*  # an animal\n\nred herring\n", "utf-8")
    options = {"lists": [str(own)], "words": ["Ünwort"], "allow": ["zebrafish"]}
    assert found("Zebras, zebrafish, a red  herring, UNWORT and crap", **options) == [
        "Zebras",
        "red  herring",
        "UNWORT",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lists": ["none"]}, "or one of profanity_en. Received: No such file"),
        ({"lists": "profanity_en"}, "lists as a list of texts. Received: 'profanity_en'"),
        ({"lists": []}, "a word in the lists. Received: none"),
        ({"lists": [], "words": ["*"]}, "begins with a letter. Received: '*'"),
        ({"lists": [], "words": [7]}, "words as a list of texts"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
        WordList(**options)  # type: ignore[arg-type]


def test_the_list_that_ships_says_its_scope_and_has_every_word_once() -> None:
    lines = (LISTS / "profanity_en.txt").read_text("utf-8").splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    assert len(words) == len(set(words)) > 40
    assert "not: a measure of toxicity" in " ".join(lines[:12])
    for word in words:
        assert found(word.removesuffix("*")), word
