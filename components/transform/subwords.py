"""Learns a subword vocabulary by byte pair encoding (Sennrich, Haddow and Birch, 2016)."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Mapping

# A vocabulary file has one subword per line, so no subword may hold a line's end.
_LINE_ENDS = (b"\r", b"\n")

_Pair = tuple[bytes, bytes]


class _Pairs:
    """How often neighbours occur, kept up to date while they are merged."""

    def __init__(self, word_counts: Mapping[bytes, int], max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # Sorted, so that the result does not depend on the order in which words were counted.
        words = sorted(word for word in word_counts if len(word) > 1)
        self._counts = [word_counts[word] for word in words]
        self._words = [[word[at : at + 1] for at in range(len(word))] for word in words]
        self._totals: dict[_Pair, int] = defaultdict(int)
        self._where: dict[_Pair, set[int]] = defaultdict(set)
        for index in range(len(words)):
            self._add(index, set())
        self._heap = [(-total, pair) for pair, total in self._totals.items()]
        heapq.heapify(self._heap)

    def _add(self, index: int, changed: set[_Pair]) -> None:
        pieces, count = self._words[index], self._counts[index]
        for pair in itertools.pairwise(pieces):
            if len(pair[0]) + len(pair[1]) > self._max_bytes:
                continue
            # A longer piece never holds a line's end, so comparing whole pieces will do.
            if pair[0] in _LINE_ENDS or pair[1] in _LINE_ENDS:
                continue
            self._totals[pair] += count
            self._where[pair].add(index)
            changed.add(pair)

    def _remove(self, index: int, changed: set[_Pair]) -> None:
        pieces, count = self._words[index], self._counts[index]
        for pair in itertools.pairwise(pieces):
            if pair in self._totals:
                self._totals[pair] -= count
                self._where[pair].discard(index)
                changed.add(pair)

    def most_frequent(self, least: int) -> _Pair | None:
        """The pair with the highest total, the first in byte order among equals."""
        while self._heap:
            negative, pair = self._heap[0]
            if self._totals.get(pair) == -negative:
                return pair if -negative >= least else None
            # Stale: the total has changed since, and stands in the heap anew.
            heapq.heappop(self._heap)
        return None

    def merge(self, pair: _Pair) -> None:
        """Makes one piece of every occurrence of the pair."""
        changed: set[_Pair] = set()
        for index in list(self._where[pair]):
            self._remove(index, changed)
            self._words[index] = _merged(self._words[index], pair)
            self._add(index, changed)
        for each in changed:
            total = self._totals[each]
            if total > 0:
                heapq.heappush(self._heap, (-total, each))
            else:
                del self._totals[each]
                del self._where[each]


def _merged(pieces: list[bytes], pair: _Pair) -> list[bytes]:
    first, second = pair
    joined = []
    at = 0
    while at < len(pieces):
        if pieces[at] == first and pieces[at + 1 : at + 2] == [second]:
            joined.append(first + second)
            at += 2
        else:
            joined.append(pieces[at])
            at += 1
    return joined


def learn_subwords(
    word_counts: Mapping[bytes, int], size: int, *, max_bytes: int, least: int = 2
) -> list[bytes]:
    """Learns the subwords that cut words into the fewest pieces, greedily.

    The result depends on the counts only, not on their order.

    Args:
        word_counts: how often each word occurs.
        size: how many subwords to learn.
        max_bytes: longest subword.
        least: a pair seen less often than this is not worth a subword.

    Returns:
        Distinct subwords of two or more bytes, most useful first; fewer than `size` where the
        words hold no more.
    """
    pairs = _Pairs(word_counts, max_bytes)
    # Two merges may give the same bytes: a dict keeps the first.
    subwords: dict[bytes, None] = {}
    while len(subwords) < size:
        pair = pairs.most_frequent(least)
        if pair is None:
            break
        pairs.merge(pair)
        subwords[pair[0] + pair[1]] = None
    return list(subwords)
