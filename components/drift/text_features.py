"""Which words and letter triples a text has, as numbers that a classifier can learn from."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from components.drift.descriptors import words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD_BINS = 512
TRIPLE_BINS = 256
# What a text is about shows in its first so many letters.
_CHARACTERS = 2000


def text_features(texts: Sequence[str]) -> NDArray[np.float64]:
    """Hashes the words and the letter triples of each text into a fixed number of bins.

    Nothing is learnt, so that texts of today and of a year ago are measured alike, and no word can
    be read off. Signs keep collisions from adding up (Weinberger et al. 2009, "Feature hashing for
    large scale multitask learning"); counts enter by their logarithm and every text has length 1
    in both parts, so that long texts do not differ from short ones by their length alone.

    Args:
        texts: any texts, empty allowed.

    Returns:
        float64 [texts, WORD_BINS + TRIPLE_BINS].
    """
    import numpy as np

    found = np.zeros((len(texts), WORD_BINS + TRIPLE_BINS))
    for row, text in zip(found, texts, strict=True):
        line = f" {text[:_CHARACTERS]} "
        _hash(row[:WORD_BINS], words_of(line))
        # Of the text as it is: capitals, digits and punctuation count here.
        _hash(row[WORD_BINS:], (line[place : place + 3] for place in range(len(line) - 2)))
    return found


def _hash(row: NDArray[np.float64], parts: Iterable[str]) -> None:
    """Adds signed logarithms of counts to the bins of a row, and brings it to length 1."""
    import math

    for part, count in Counter(parts).items():
        code = zlib.crc32(part.encode("utf-8", "surrogatepass"))
        # The last bit is the sign, the others choose the bin.
        row[(code >> 1) % len(row)] += (1 - 2 * (code & 1)) * (1 + math.log(count))
    length = math.sqrt(float(row @ row))
    if length:
        row /= length
