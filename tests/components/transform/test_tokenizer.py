"""The tokenizer loses nothing, matches greedily, and runs wherever TensorFlow runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import tensorflow as tf

from components.transform.tokenizer import MAX_SUBWORD_BYTES, Tokenizer, split_words

SUBWORDS = [b" the", b"he", b" t", b"in", b"ing", b" nation", b"\xc3\xa9", b"  ", b"ab", b"abab"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "subwords"
    path.write_bytes(b"".join(subword + b"\n" for subword in SUBWORDS))
    return Tokenizer(path)


def by_hand(word: bytes) -> list[int]:
    """Greedy longest match of one word, the plain way."""
    ids = {subword: 257 + line for line, subword in enumerate(SUBWORDS)}
    tokens = []
    while word:
        length = next(
            (n for n in range(MAX_SUBWORD_BYTES, 1, -1) if n <= len(word) and word[:n] in ids), 1
        )
        tokens.append(ids.get(word[:length], word[0] + 1))
        word = word[length:]
    return tokens


HARD_TEXTS = [
    "",
    " ",
    "the nation",
    "line\nbreaks\r\nand\rtabs\t",
    "NUL\x00inside",
    "emoji 😀👩‍👩‍👧 and flags 🇩🇪",
    "e\u0301 combining, é precomposed, \u2028 separators \u00a0",
    "'quotes' \"double\" don't they're \\ backslash \\0 \\1",
    "日本語のテキスト",
    "\ufffd\ufeff\U0010ffff",
    "1234567890 3.14 $1,000",
    " " * 1000,
    "?!" * 500,
]


@pytest.mark.parametrize("text", HARD_TEXTS, ids=range(len(HARD_TEXTS)))
def test_any_valid_text_comes_back_unchanged(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.tokenize(tf.constant([text]))
    assert tokenizer.detokenize(tokens).numpy()[0].decode() == text


def test_words_join_to_the_text() -> None:
    words = split_words(tf.constant(HARD_TEXTS)).to_list()
    assert [b"".join(row).decode() for row in words] == HARD_TEXTS
    assert split_words(tf.constant(["the nation's 12345 men"])).to_list() == [
        [b"the", b" nation", b"'s", b" ", b"123", b"45", b" men"]
    ]


def test_matches_the_longest_subword_first(tokenizer: Tokenizer) -> None:
    texts = [*HARD_TEXTS, "the thing in the nation", "ababab", "bababa"]
    found = tokenizer.tokenize(tf.constant(texts)).to_list()
    words = split_words(tf.constant(texts)).to_list()
    # Words this long are chopped first; the chopping is proved by the round trip.
    for row, tokens in zip(words, found, strict=True):
        if all(len(word) <= 64 for word in row):
            assert tokens == [token for word in row for token in by_hand(word)]


def test_bytes_are_their_value_plus_one(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokenize(tf.constant(["zZ\x00"])).to_list() == [[123, 91, 1]]


@pytest.mark.parametrize("broken", [b"\xff", b"a\x80b", b"\xc3", b"\xed\xa0\x80", b"\xf5\xff\xfe"])
def test_invalid_utf8_becomes_replacement_characters(tokenizer: Tokenizer, broken: bytes) -> None:
    tokens = tokenizer.tokenize(tf.constant([broken]))
    assert "\ufffd" in tokenizer.detokenize(tokens).numpy()[0].decode("utf-8")


def test_a_row_does_not_depend_on_its_batch(tokenizer: Tokenizer) -> None:
    together = tokenizer.tokenize(tf.constant(HARD_TEXTS)).to_list()
    alone = [tokenizer.tokenize(tf.constant([text])).to_list()[0] for text in HARD_TEXTS]
    assert together == alone


def test_empty_batch_and_batch_of_empty_texts(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokenize(tf.constant([], tf.string)).to_list() == []
    assert tokenizer.tokenize(tf.constant(["", ""])).to_list() == [[], []]
    assert tokenizer.detokenize(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_padding_end_of_text_and_unknown_ids_stand_for_nothing(tokenizer: Tokenizer) -> None:
    dense = tf.constant([[123, 0, -1], [257, 99_999, 91]])
    assert tokenizer.detokenize(dense).numpy().tolist() == [b"z", b" theZ"]


def test_runs_inside_tf_data(tokenizer: Tokenizer) -> None:
    data = tf.data.Dataset.from_tensor_slices(HARD_TEXTS).batch(4).map(tokenizer.tokenize)
    rows = [row for batch in data for row in batch.to_list()]
    assert rows == tokenizer.tokenize(tf.constant(HARD_TEXTS)).to_list()


@pytest.mark.parametrize("text", ["x" * 1_000_000, " " * 1_000_000, "ab" * 500_000])
def test_a_huge_word_takes_no_quadratic_time(tokenizer: Tokenizer, text: str) -> None:
    started = time.process_time()
    tokens = tokenizer.tokenize(tf.constant([text]))
    assert tokenizer.detokenize(tokens).numpy()[0].decode() == text
    # A tenth of a second here; a minute and more when each piece copied the word.
    assert time.process_time() - started < 10


def test_export_takes_the_vocabulary_along(tokenizer: Tokenizer, tmp_path: Path) -> None:
    class Exported(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def round_trip(self, texts: tf.Tensor) -> tf.Tensor:
            return self.tokenizer.detokenize(self.tokenizer.tokenize(texts))

    tf.saved_model.save(Exported(), str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    back = loaded.round_trip(tf.constant(HARD_TEXTS)).numpy()
    assert [text.decode() for text in back] == HARD_TEXTS
    assert any((tmp_path / "saved" / "assets").iterdir())
