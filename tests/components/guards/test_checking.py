"""Guards are anybody's scorers: found by path, held to their contract, told with what they hide."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from components.errors import ConfigError
from components.evaluate.options import EvaluateOptions
from components.guards.checking import (
    Tally,
    around,
    check,
    figures,
    hidden,
    masked,
    section,
    tallies,
)
from components.guards.options import PII, WORDS, GuardOptions
from components.guards.rows import texts_of
from components.guards.scorer import Score, Span, load
from components.validate.options import ValidateOptions
from components.wilson import wilson

PATH = "own_guards.Shouting"


class Shouting:
    """Scores the share of capital letters."""

    def __init__(self, answers: Any = None) -> None:
        self._answers = answers

    def score(self, texts: Sequence[str]) -> Sequence[Score]:
        if self._answers is not None:
            return [Score(value) for value in self._answers]
        return [Score(sum(map(str.isupper, text)) / max(len(text), 1)) for text in texts]


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("own_guards")
    vars(module).update(Shouting=Shouting, Nothing=dict)
    monkeypatch.setitem(sys.modules, "own_guards", module)


def guard(scorer: str = PATH, threshold: float = 0.5, **options: Any) -> GuardOptions:
    return GuardOptions(name="own", scorer=scorer, threshold=threshold, options=options)


def test_a_scorer_of_ones_own_is_found_by_its_path() -> None:
    (tally,) = tallies([guard(threshold=0.8)])
    assert check([tally], ["ALL", "Only One", "none"]) == [[True, False, False]]
    figure = figures([tally])["guards.own.share"]
    assert (figure.value, figure.samples, figure.unit) == (pytest.approx(1 / 3), 3, "share")
    assert (figure.low, figure.high) == pytest.approx(wilson(1 / 3, 3, 1.959964))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (guard("own_guards.Missing"), "expected a class at own_guards.Missing"),
        (guard("no_such_module.Scorer"), "No module named 'no_such_module'"),
        (guard(volume=11), "expected options that own_guards.Shouting takes"),
        (guard("own_guards.Nothing"), r"with a method score\(texts\). Received: dict"),
        (guard(WORDS, lists=["nowhere.txt"]), "expected a list of words at nowhere.txt"),
    ],
)
def test_a_scorer_that_cannot_be_made_is_one_line(options: GuardOptions, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(options)


@pytest.mark.parametrize("answers", [[], [0.1, 0.2], [1.5], [float("nan")]])
def test_a_scorer_that_breaks_its_contract_is_told(answers: list[float]) -> None:
    with pytest.raises(ConfigError, match="guard 'own': expected"):
        check([Tally(load(guard(answers=answers)))], ["text"])


def test_two_guards_of_one_name_and_a_path_that_is_none_are_refused() -> None:
    for options in (EvaluateOptions, ValidateOptions):
        entry = {"name": "a", "scorer": PII}
        with pytest.raises(ValidationError, match="Received twice: a"):
            options.model_validate({"guards": [entry, entry]})
    with pytest.raises(ValidationError, match="expected a dotted path"):
        GuardOptions(name="a", scorer="shouting")


def test_reports_hide_what_was_found() -> None:
    tally = Tally(load(GuardOptions(name="pii", scorer=PII)))
    secret = "ada@example.org"
    words = Tally(load(GuardOptions(name="words", scorer=WORDS)))
    check([tally, words], [f"{'word ' * 30}crap {secret} and +49 30 901820 more", "nothing"])
    assert words.examples[0][0].startswith("…word word")
    assert "c••• a•••" in words.examples[0][0]
    assert secret not in words.examples[0][0]
    assert hidden([tally, words], f"crap {secret}") == "c••• a" + "•" * (len(secret) - 1)
    ((shown, kinds),) = tally.examples
    assert kinds == "email, phone"
    assert secret not in shown
    assert "901820" not in shown
    assert "a••••" in shown
    (told,) = section([tally], "samples")
    html = "".join(map(str, told.blocks))
    assert "1 of 2" in html
    assert secret not in html
    assert section([], "samples") == []


def test_masking_without_spans_shows_the_beginning() -> None:
    assert around("a b " * 40, []).endswith("…")
    assert masked("short", [Span(0, 9, "word")]) == "s••••"


def test_the_texts_of_rows() -> None:
    assert texts_of(pa.table({"text": ["a", None], "example_id": ["1", "2"]})) == ["a", ""]
    rows = pa.table({"name": ["Ada", None], "age": [1, 2], "city": ["Bern", "Rom"]})
    assert texts_of(rows) == ["Ada\nBern", "Rom"]
    with pytest.raises(ConfigError, match="leave guards empty"):
        texts_of(pa.table({"image": [b""], "label": ["a"]}))
