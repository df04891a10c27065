"""Byte pair encoding learns what a plain implementation of it would learn."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from components.transform.subwords import learn_subwords


def naive(word_counts: dict[bytes, int], size: int, max_bytes: int) -> list[bytes]:
    """Counts all pairs anew for every merge."""
    words = {word: [bytes([byte]) for byte in word] for word in word_counts}
    learned: list[bytes] = []
    while len(learned) < size:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, pieces in words.items():
            for pair in itertools.pairwise(pieces):
                joined = pair[0] + pair[1]
                if len(joined) <= max_bytes and b"\n" not in joined and b"\r" not in joined:
                    pairs[pair] += word_counts[word]
        best = min(pairs.items(), key=lambda item: (-item[1], item[0]), default=None)
        if best is None or best[1] < 2:
            break
        (first, second), _ = best
        for pieces in words.values():
            at = 0
            while at < len(pieces) - 1:
                if pieces[at] == first and pieces[at + 1] == second:
                    pieces[at : at + 2] = [first + second]
                at += 1
        if first + second not in learned:
            learned.append(first + second)
    return learned


def random_words(seed: int) -> dict[bytes, int]:
    source = random.Random(seed)
    return {
        bytes(source.choices(b"aab\nc ", k=source.randint(1, 12))): source.randint(1, 9)
        for _ in range(60)
    }


def test_learns_what_the_plain_algorithm_learns() -> None:
    for seed in range(8):
        words = random_words(seed)
        assert learn_subwords(words, 40, max_bytes=6) == naive(words, 40, 6)


def test_most_frequent_pair_comes_first() -> None:
    words = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
    assert learn_subwords(words, 3, max_bytes=16) == [b"es", b"est", b"lo"]


def test_the_order_of_the_words_does_not_matter() -> None:
    words = random_words(1)
    backwards = dict(reversed(list(words.items())))
    assert learn_subwords(words, 30, max_bytes=8) == learn_subwords(backwards, 30, max_bytes=8)


def test_no_subword_is_too_long_or_ends_a_line() -> None:
    learned = learn_subwords({b"aaaaaaaaaaaa\n": 9, b"\r\n\r\n": 9, b"bb\nbb": 5}, 50, max_bytes=4)
    assert learned
    assert all(1 < len(each) <= 4 and not {10, 13} & set(each) for each in learned)
    assert len(set(learned)) == len(learned)


def test_words_that_hold_no_more_give_fewer() -> None:
    assert learn_subwords({b"ab": 2}, 100, max_bytes=16) == [b"ab"]
    assert learn_subwords({}, 100, max_bytes=16) == []
    assert learn_subwords({b"ab": 1}, 100, max_bytes=16) == []
