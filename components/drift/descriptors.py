"""Measures of a text that say how it is written, computed without downloads or models."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Collection

from components.drift.sides import Descriptor

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"'”’)]|$)")
_PUNCTUATION = frozenset(string.punctuation + "“”‘’—–…§")
# The share of distinct words falls with length, so it is taken over as many words everywhere.
_DISTINCT_WINDOW = 50
# The commonest function words of English: their share moves with style, not with topic.
_FUNCTION_WORDS = (
    "a an and are as at be been but by for from had has have he her his i in is it its me my no "
    "not of on or our she so that the their them there these they this those to us was we were "
    "what when which who will with would you your"
)
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


DESCRIPTORS = (
    Descriptor("characters", "characters per text"),
    Descriptor("words", "words per text"),
    Descriptor("words_per_sentence", "words per sentence"),
    Descriptor("word_length", "letters per word"),
    Descriptor("distinct_words", "distinct words among the first 50", percent=True),
    Descriptor("stop_words", "function words", percent=True),
    Descriptor("unknown_words", "words unseen in the training text", percent=True),
    Descriptor("upper_case", "capitals among letters", percent=True),
    Descriptor("digits", "digits among characters", percent=True),
    Descriptor("punctuation", "punctuation among characters", percent=True),
    Descriptor("non_letters", "characters that are no letter or space", percent=True),
)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def describe(text: str, known: Collection[str]) -> tuple[float, ...]:
    """Measures a text.

    Args:
        text: any text, empty allowed.
        known: words that count as seen in training.

    Returns:
        One number for each of `DESCRIPTORS`; shares are between 0 and 1, and 0 of nothing is 0.
    """
    words = words_of(text)
    # A text has some dozens of different characters, so each is looked at once.
    counts = Counter(text)

    def occurring(kind: Callable[[str], bool]) -> int:
        return sum(count for character, count in counts.items() if kind(character))

    letters, spaces = occurring(str.isalpha), occurring(str.isspace)
    sentences = max(len(_SENTENCE_END.findall(text)), 1)
    opening = words[:_DISTINCT_WINDOW]
    return (
        float(len(text)),
        float(len(words)),
        len(words) / sentences,
        _share(sum(map(len, words)), len(words)),
        _share(len(set(opening)), len(opening)),
        _share(sum(word in _STOP_WORDS for word in words), len(words)),
        _share(sum(word not in known for word in words), len(words)),
        _share(occurring(str.isupper), letters),
        _share(occurring(str.isdigit), len(text)),
        _share(occurring(_PUNCTUATION.__contains__), len(text)),
        _share(len(text) - letters - spaces, len(text)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
