"""How varied and how repetitive texts are, by counts of word n-grams."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+|[^\w\s]")
REPETITION_ORDER = 4


def words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks."""
    return _WORD.findall(text.lower())


def ngrams(sequence: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """Every run of `order` words."""
    return list(zip(*(sequence[start:] for start in range(order)), strict=False))


def distinct(texts: Iterable[Sequence[str]], order: int) -> float:
    """Distinct n-grams over all n-grams of the texts together (Li et al., 2016); NaN of none.

    It falls as more text is pooled, so only equal amounts of text can be compared.
    """
    found = [gram for text in texts for gram in ngrams(text, order)]
    return len(set(found)) / len(found) if found else float("nan")


def distinct_deviation(texts: Sequence[Sequence[str]], order: int) -> float:
    """Standard error of `distinct` by leaving out one text after another; NaN of fewer than two.

    Drawing texts twice, as a bootstrap does, would itself make n-grams less distinct. The jackknife
    errs on the wide side (Efron and Stein, 1981).
    """
    found = [ngrams(text, order) for text in texts]
    found = [grams for grams in found if grams]
    count, total = len(found), sum(map(len, found))
    if count < 2:
        return float("nan")
    holders = Counter(gram for grams in found for gram in set(grams))
    without = [
        (len(holders) - sum(holders[gram] == 1 for gram in set(grams))) / (total - len(grams))
        for grams in found
    ]
    middle = sum(without) / count
    return math.sqrt((count - 1) / count * sum((one - middle) ** 2 for one in without))


def repetition(text: Sequence[str]) -> float | None:
    """Share of a text's 4-grams that occurred in it before (seq-rep-4, Welleck et al., 2020).

    None where the text has no 4-gram.
    """
    found = ngrams(text, REPETITION_ORDER)
    return 1 - len(set(found)) / len(found) if found else None


def cut_to(texts: Sequence[Sequence[str]], total: int) -> list[Sequence[str]]:
    """The texts, cut where `total` words are reached."""
    kept: list[Sequence[str]] = []
    for text in texts:
        kept.append(text[: max(total, 0)])
        total -= len(text)
    return kept
