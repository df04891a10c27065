"""The yardsticks are proper probabilities, and xz's sizes are those of xz."""

from __future__ import annotations

import collections
import lzma
import math

import numpy as np
import pytest

from components.evaluate.yardsticks import (
    END,
    NGRAM_ORDERS,
    SYMBOLS,
    KneserNey,
    xz_bits,
    yardsticks,
)

LEARNED = [b"the cat sat on the mat", b"the dog sat", b"", b"a \xff\x00 byte", b"the end of it"] * 3


@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("context", [[END] * 4, [*b"the "], [*b"zzzz"], [END, *b"the"]])
def test_probabilities_of_all_symbols_sum_to_one(order: int, context: list[int]) -> None:
    model = KneserNey.fit(LEARNED, order=5).lower(order)
    codes = np.zeros(SYMBOLS, np.int64)
    for symbol in context:
        codes = (codes << 9) | symbol
    found = model.probabilities((codes << 9) | np.arange(SYMBOLS))
    assert found.min() > 0
    assert found.sum() == pytest.approx(1.0, abs=1e-9)


def test_matches_a_kneser_ney_written_plainly() -> None:
    texts = [b"abracadabra", b"cabbage", b"a bad cab", b"dab"] * 2 + [b"abba", b"gab", b"bed"]
    judged = [b"cadab", b"xyz", b""]
    plain = PlainKneserNey(texts, order=3)
    found = KneserNey.fit(texts, order=3).bits(judged)
    assert found == pytest.approx([plain.bits(text) for text in judged])


def test_the_lower_order_equals_a_fit_of_that_order() -> None:
    judged = [b"the mat sat", b"\x01"]
    longer = KneserNey.fit(LEARNED, order=5).lower(3).bits(judged)
    assert longer == pytest.approx(KneserNey.fit(LEARNED, order=3).bits(judged))


def test_the_unigram_spends_about_the_entropy_of_the_bytes() -> None:
    text = "abcd" * 5000
    found = yardsticks([text], [text], ["d"]).bits["byte_unigram"][0]
    assert found / len(text) == pytest.approx(2.0, abs=0.02)


def test_longer_contexts_and_seen_text_cost_fewer_bits(train_texts: list[str]) -> None:
    found = yardsticks(train_texts[:150], train_texts[150:], ["d"] * len(train_texts[150:]))
    unigram, trigram, fivegram = (found.bits[name].sum() for name in NGRAM_ORDERS)
    assert unigram > trigram > fivegram > 0
    assert found.xz.sum() < found.xz_alone


def test_xz_counts_what_each_part_adds_to_the_training_text() -> None:
    draw = np.random.default_rng(0)
    words = [draw.bytes(8).hex().encode() for _ in range(300)]
    learned = [b" ".join(draw.choice(words, 40).tolist()) for _ in range(60)]
    judged = [b" ".join(draw.choice(words, 40).tolist()) for _ in range(6)]
    parts = np.array([0, 0, 0, 1, 1, 1])

    def size(texts: list[bytes]) -> int:
        content = b"".join(text + b"\xff" for text in texts)
        return len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))

    each, alone = xz_bits(learned, judged, parts)
    expected = [
        8 * (size(learned + judged[cut]) - size(learned)) for cut in (slice(3), slice(3, 6))
    ]
    # The xz container rounds its block up to four bytes.
    assert each == pytest.approx(expected, abs=64)
    assert alone == 8 * size(judged)


def test_many_documents_are_compressed_several_at_a_time() -> None:
    texts = [f"text number {place}" for place in range(200)]
    found = yardsticks(["text number"], texts, [f"document {place}" for place in range(200)])
    assert found.xz.size <= 64
    assert found.parts.tolist() == sorted(found.parts.tolist())


class PlainKneserNey:
    """The same estimator with dictionaries and recursion."""

    def __init__(self, texts: list[bytes], order: int) -> None:
        self.order = order
        self.counts = [collections.Counter[tuple[int, ...]]() for _ in range(order + 1)]
        for text in texts:
            symbols = [END] * (order - 1) + [*text, END]
            for end in range(order - 1, len(symbols)):
                for length in range(1, order + 1):
                    self.counts[length][tuple(symbols[end - length + 1 : end + 1])] += 1
        raw = [collections.Counter(counter) for counter in self.counts]
        for length in range(1, order):
            kinds = collections.Counter(gram[1:] for gram in raw[length + 1])
            for gram in raw[length]:
                if length == 1 or gram[0] != END:
                    self.counts[length][gram] = kinds[gram]

    def discount(self, length: int, count: int) -> float:
        of = collections.Counter(self.counts[length].values())
        if not all(of[number] for number in (1, 2, 3, 4)):
            return 0.5
        rate = of[1] / (of[1] + 2 * of[2])
        step = min(count, 3)
        return min(max(step - (step + 1) * rate * of[step + 1] / of[step], 0.05), float(step))

    def probability(self, gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / SYMBOLS
        lower = self.probability(gram[1:])
        length = len(gram)
        seen = {key: value for key, value in self.counts[length].items() if key[:-1] == gram[:-1]}
        if not seen:
            return lower
        total = sum(seen.values())
        spare = sum(self.discount(length, count) for count in seen.values()) / total
        count = seen.get(gram, 0)
        kept = count - self.discount(length, count) if count else 0.0
        return kept / total + spare * lower

    def bits(self, text: bytes) -> float:
        symbols = [END] * (self.order - 1) + [*text, END]
        ends = range(self.order - 1, len(symbols))
        grams = [tuple(symbols[end - self.order + 1 : end + 1]) for end in ends]
        return -sum(math.log2(self.probability(gram)) for gram in grams)
