"""Which texts are compared, and how they are made comparable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.artifacts import Evaluation, Examples
from components.drift.texts import Text, Vocabulary, choose, choose_output

Write = Callable[..., Path]
UNKNOWN = 6


def test_the_choice_depends_on_the_texts_and_not_on_their_order(write_examples: Write) -> None:
    rows = [(f"doc {place}", f"text number {place}", 1900) for place in range(300)]
    examples = Examples(write_examples({"train": rows, "eval": rows[::-1]}))
    first, second = (choose(examples, split, 100) for split in ("train", "eval"))
    assert [text.key for text in first] == [text.key for text in second]
    assert len(first) == 100
    places = [int(text.document.split()[1]) for text in first]
    assert min(places) < 50
    assert max(places) > 250


def test_real_text_is_cut_where_samples_ran_out_of_tokens(write_samples: Write) -> None:
    evaluation = Evaluation(write_samples(["short end", "x" * 900, "y" * 900], most=200))
    training = [Text(str(n), str(n), "z" * length) for n, length in enumerate((50, 500, 900))]
    real, generated = choose_output(training, evaluation.samples_path)
    assert [len(text.text) for text in real] == [50, 200, 200]
    assert [len(text.text) for text in generated] == [9, 200, 200]


def test_training_text_is_measured_by_the_words_of_other_documents() -> None:
    texts = [
        Text(f"{doc}-{n}", f"doc {doc}", f"common words own{'abcdefghijklmnop'[doc]}")
        for doc in range(16)
        for n in range(3)
    ]
    own = Vocabulary(texts).measure(texts).values[:, UNKNOWN]
    assert set(own.round(3)) == {0.333}
