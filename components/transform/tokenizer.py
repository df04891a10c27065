"""Lossless byte-level subword tokenization in stock TensorFlow operations.

Text is cut into words, each word into the longest subwords that the vocabulary holds, from the
left. Ids: 0 is the end of text, 1..256 are the bytes 0..255, 257 and up are the lines of the
vocabulary file. Words that repeat within a batch are matched once.

The same functions run inside TensorFlow Transform's graph, in `tf.data`, eagerly, and in a
SavedModel under stock TensorFlow Serving: no custom operation and no Python callback.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

END_OF_TEXT = 0
BYTES = 256
FIRST_SUBWORD = 1 + BYTES

# Name of the vocabulary file, and of the asset in the transform graph.
VOCABULARY_NAME = "subwords"

# Longer subwords are not learned: the matcher looks up every length up to this one.
MAX_SUBWORD_BYTES = 16

# A run of characters of one class. The classes cover every character, so nothing is lost.
_WORD = (
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?[\pL\pM]+"
    r"|\pN{1,3}"
    r"| ?[^\s\pL\pM\pN]+"
    r"|\s+"
)
# Longer words are chopped, so that a single huge one costs no more than many ordinary ones.
# (Bounds inside the pattern would do, if RE2 did not run out of memory on them.)
MAX_WORD_BYTES = 64
# UTF-8 has no such byte, so it can stand between words.
_BOUNDARY = b"\xff"

Lookup = Callable[[tf.Tensor], tf.Tensor]


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Cuts texts into words whose concatenation is the text.

    Args:
        texts: string [B], UTF-8; invalid bytes become U+FFFD.

    Returns:
        string [B, None]; a word keeps the space before it.
    """
    valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    return _pieces(valid, f"(?:{_WORD})")


def _pieces(texts: tf.Tensor, pattern: str) -> tf.RaggedTensor:
    """Cuts texts [B] before each match of a pattern that matches everywhere."""
    marked = tf.strings.regex_replace(texts, pattern, _BOUNDARY + rb"\0")
    # What stands before the first boundary is empty.
    return tf.strings.split(marked, sep=_BOUNDARY)[:, 1:]


def match_subwords(words: tf.Tensor, lookup: Lookup) -> tf.RaggedTensor:
    """Cuts each word into the longest known subwords, from the left.

    Args:
        words: string [N], none empty.
        lookup: string [...] -> int64 [...], the subword's line in the vocabulary or -1.

    Returns:
        int32 [N, None], token ids.
    """
    sizes = tf.strings.length(words)
    count = tf.size(words)

    def unfinished(step: tf.Tensor, active: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.size(active) > 0

    def advance(
        step: tf.Tensor, active: tf.Tensor, at: tf.Tensor, *found: tf.TensorArray
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        left = tf.gather(sizes, active) - at
        token, length = _longest(tf.gather(words, active), at, left, lookup)
        columns = (token, active, tf.fill(tf.shape(active), step - 1))
        written = [array.write(step, column) for array, column in zip(found, columns, strict=True)]
        remains = tf.where(left > length)[:, 0]
        return (
            step + 1,
            tf.gather(active, remains),
            tf.gather(at + length, remains),
            *written,
        )

    # Every round finds one more token of every word that is not finished yet: the tokens, whose
    # they are, and their place in the word. Without the empty entry, the concatenation of no
    # rounds at all would have no shape.
    found = [
        tf.TensorArray(
            tf.int32, size=1, dynamic_size=True, infer_shape=False, element_shape=[None]
        ).write(0, tf.zeros([0], tf.int32))
        for _ in range(3)
    ]
    start = (tf.constant(1), tf.range(count), tf.zeros([count], tf.int32), *found)
    shapes = [[], [None], [None], None, None, None]
    _, _, _, *found = tf.while_loop(
        unfinished, advance, start, shape_invariants=tuple(map(tf.TensorShape, shapes))
    )
    tokens, owners, places = (array.concat() for array in found)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(owners), owners, count)
    starts = tf.cumsum(counts, exclusive=True)
    order = (tf.gather(starts, owners) + places)[:, tf.newaxis]
    return tf.RaggedTensor.from_row_lengths(
        tf.scatter_nd(order, tokens, tf.shape(tokens)), tf.cast(counts, tf.int64), validate=False
    )


def _longest(
    word: tf.Tensor, at: tf.Tensor, left: tf.Tensor, lookup: Lookup
) -> tuple[tf.Tensor, tf.Tensor]:
    """The token at byte `at` of each word, and its length in bytes; all int32 [A]."""
    longest = tf.minimum(tf.reduce_max(left), MAX_SUBWORD_BYTES)
    lengths = tf.range(2, longest + 1)[tf.newaxis, :]
    ahead = tf.strings.substr(word, at, tf.fill(tf.shape(at), MAX_SUBWORD_BYTES))
    candidates = tf.strings.substr(
        ahead[:, tf.newaxis],
        tf.zeros([tf.size(at), tf.size(lengths)], tf.int32),
        tf.broadcast_to(lengths, [tf.size(at), tf.size(lengths)]),
    )
    lines = tf.cast(lookup(candidates), tf.int32)
    # A length beyond the end stands for the whole rest, which the right length found as well.
    known = tf.where((lines >= 0) & (lengths <= left[:, tf.newaxis]), lengths, 0)
    length = tf.reduce_max(known, axis=1, keepdims=True)
    line = tf.reduce_max(tf.where(known == length, lines, -1), axis=1)
    length = length[:, 0]
    byte = tf.io.decode_raw(tf.strings.substr(ahead, tf.zeros_like(at), tf.ones_like(at)), tf.uint8)
    byte = tf.cast(byte[:, 0], tf.int32) + 1
    return tf.where(length > 0, line + FIRST_SUBWORD, byte), tf.maximum(length, 1)


def tokenize(texts: tf.Tensor, lookup: Lookup) -> tf.RaggedTensor:
    """Turns texts into tokens; see `Tokenizer.tokenize`."""
    words = split_words(texts)
    distinct, index = tf.unique(words.values)
    chopped = _pieces(distinct, rf"\C{{1,{MAX_WORD_BYTES}}}")
    pieces, piece_index = tf.unique(chopped.values)
    tokens = tf.gather(match_subwords(pieces, lookup), piece_index)
    tokens = chopped.with_values(tokens).merge_dims(1, 2)
    return words.with_values(tf.gather(tokens, index)).merge_dims(1, 2)


def vocabulary_table(path: str | tf.Tensor) -> tf.lookup.StaticHashTable:
    """Subword -> its line in the vocabulary file, or -1."""
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            path,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=-1,
    )


class Tokenizer(tf.Module):  # type: ignore[misc]
    """Text to tokens and back; both directions read one vocabulary file.

    Assigned to an attribute of a module that is saved, it takes the file along as an asset.
    """

    def __init__(self, vocabulary: str | os.PathLike[str], name: str | None = None) -> None:
        """Loads a vocabulary.

        Args:
            vocabulary: file with one subword of two or more bytes per line.
            name: of the module.
        """
        super().__init__(name=name)
        self._table = vocabulary_table(os.fspath(vocabulary))
        self._detokenizer = Detokenizer(vocabulary)

    @property
    def vocabulary_size(self) -> tf.Tensor:
        """Number of token ids, int64 scalar."""
        return self._table.size() + FIRST_SUBWORD

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns texts into tokens.

        Args:
            texts: string [B], UTF-8. Invalid bytes are coded as U+FFFD; nothing else is lost.

        Returns:
            int32 [B, None]; an empty text has no token.
        """
        return tokenize(texts, self._table.lookup)

    def detokenize(self, tokens: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
        """Turns tokens back into text; see `Detokenizer.detokenize`."""
        return self._detokenizer.detokenize(tokens)

    def join_bytes(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """The bytes that tokens stand for; see `Detokenizer.join_bytes`."""
        return self._detokenizer.join_bytes(tokens)


class Detokenizer(tf.Module):  # type: ignore[misc]
    """Tokens to text."""

    def __init__(self, vocabulary: str | os.PathLike[str], name: str | None = None) -> None:
        """Loads a vocabulary; see `Tokenizer`."""
        super().__init__(name=name)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                os.fspath(vocabulary),
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            default_value="",
        )

    def detokenize(self, tokens: tf.RaggedTensor | tf.Tensor) -> tf.Tensor:
        """Turns tokens back into text.

        Args:
            tokens: integers [B, None], ragged, or dense and padded with 0 or below; the end of
                text and unknown ids stand for nothing.

        Returns:
            string [B], valid UTF-8; bytes that make no character become U+FFFD.
        """
        if not isinstance(tokens, tf.RaggedTensor):
            tokens = tf.RaggedTensor.from_tensor(tokens)
        joined = self.join_bytes(tokens)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def join_bytes(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """The bytes that tokens stand for, which may begin or end within a character.

        Args:
            tokens: integers [B, None]; the end of text and unknown ids stand for nothing.

        Returns:
            string [B].
        """
        ids = tf.cast(tokens.values, tf.int64)
        below = tf.gather(_BYTES, tf.clip_by_value(ids, 0, BYTES))
        pieces = tf.where(ids < FIRST_SUBWORD, below, self._table.lookup(ids - FIRST_SUBWORD))
        return tf.strings.unsorted_segment_join(pieces, tokens.value_rowids(), tokens.nrows())


_BYTES = [b"", *(bytes([value]) for value in range(BYTES))]
