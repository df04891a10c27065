"""Honest yardsticks: what classic compressors need for the same held-out text.

Byte n-grams use interpolated modified Kneser-Ney smoothing (Chen and Goodman, 1999) with
discounts estimated from counts of counts and a uniform distribution over the 257 symbols at the
bottom. Every text is predicted from an empty context and ends with an end symbol that costs one
byte, as for the model. Counting is by sorted integer codes, so millions of bytes take seconds.
"""

from __future__ import annotations

import dataclasses
import json
import lzma
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate import xz_sizes

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NGRAM_ORDERS = {"byte_unigram": 1, "byte_trigram": 3, "byte_5gram": 5}
END = 256
SYMBOLS = 257
_BITS = 9
_CHUNK_SYMBOLS = 4_000_000
_XZ_PARTS = 64
_XZ_WINDOW = 64 << 20  # The dictionary of preset 9: xz looks back no further.


@dataclasses.dataclass(frozen=True)
class Yardsticks:
    """What each yardstick spends on the held-out texts.

    Attributes:
        bits: for each n-gram model, float64 [texts]: bits of each text and its end.
        xz: float64 [parts], bits that `xz -9e` adds for each part of the held-out texts once it
            has read the training text.
        parts: int64 [texts], the part that each text belongs to: its document, or several
            neighbouring documents where there are many.
        xz_alone: bits that `xz -9e` needs for all held-out texts on their own.
    """

    bits: dict[str, Floats]
    xz: Floats
    parts: Integers
    xz_alone: float


def yardsticks(
    train_texts: Iterable[str], eval_texts: Sequence[str], documents: Sequence[str]
) -> Yardsticks:
    """Learns every yardstick from the training texts and scores the held-out ones.

    Args:
        train_texts: read once; held as bytes.
        eval_texts: the held-out texts.
        documents: the document of each held-out text; xz reads one after the training text.
    """
    learned = [text.encode() for text in train_texts]
    judged = [text.encode() for text in eval_texts]
    parts = _parts(documents)
    # xz runs in a process of its own, so it compresses while numpy counts.
    with ThreadPoolExecutor(max_workers=1) as pool:
        sizes = pool.submit(xz_bits, learned, judged, parts)
        model = KneserNey.fit(learned, order=max(NGRAM_ORDERS.values()))
        bits = {name: model.lower(order).bits(judged) for name, order in NGRAM_ORDERS.items()}
        xz, xz_alone = sizes.result()
    return Yardsticks(bits, xz, parts, xz_alone)


def xz_bits(
    learned: Sequence[bytes], judged: Sequence[bytes], parts: Integers
) -> tuple[Floats, float]:
    """Bits of each part of the judged texts after the learned ones, and of all of them alone.

    Each text ends with the byte 0xFF, which UTF-8 never contains.
    """
    pieces = [_joined(learned)[-_XZ_WINDOW:]]
    for part in range(int(parts.max(initial=-1)) + 1):
        pieces.append(_joined(judged[row] for row in np.flatnonzero(parts == part).tolist()))
    sizes = json.dumps([len(piece) for piece in pieces]).encode() + b"\n"
    program = [sys.executable, "-I", xz_sizes.__file__]
    ran = subprocess.run(
        program, input=sizes + b"".join(pieces), stdout=subprocess.PIPE, check=True
    )
    alone = len(lzma.compress(_joined(judged), preset=9 | lzma.PRESET_EXTREME))
    return 8.0 * np.array(json.loads(ran.stdout), np.float64), 8.0 * alone


def _parts(documents: Sequence[str]) -> Integers:
    """Numbers the documents by first appearance, neighbours together where there are many."""
    numbers: dict[str, int] = {}
    each = [numbers.setdefault(document, len(numbers)) for document in documents]
    together = -(-len(numbers) // _XZ_PARTS) or 1
    return np.array(each, np.int64) // together


def _joined(texts: Iterable[bytes]) -> bytes:
    return b"".join(text + b"\xff" for text in texts)


@dataclasses.dataclass(frozen=True)
class _Table:
    """One order's n-grams: sorted codes, and per context its total and the mass it discounts."""

    codes: Integers
    counts: Integers
    discounts: Floats
    contexts: Integers
    totals: Floats
    backoffs: Floats

    @classmethod
    def of(cls, codes: Integers, counts: Integers) -> _Table:
        discounts = _discounts(counts)
        taken = discounts[np.minimum(counts, 3)]
        contexts, starts = np.unique(codes >> _BITS, return_index=True)
        totals = np.add.reduceat(counts, starts).astype(np.float64)
        backoffs = np.add.reduceat(taken, starts) / totals
        return cls(codes, counts, discounts, contexts, totals, backoffs)

    def interpolate(self, codes: Integers, lower: Floats) -> Floats:
        """Probabilities of n-gram codes, given those of the shorter ones, float64 [n]."""
        context = codes >> _BITS
        place = np.minimum(np.searchsorted(self.contexts, context), self.contexts.size - 1)
        known = self.contexts[place] == context
        entry = np.minimum(np.searchsorted(self.codes, codes), self.codes.size - 1)
        counts = np.where(self.codes[entry] == codes, self.counts[entry], 0)
        kept = counts - self.discounts[np.minimum(counts, 3)]
        mixed = kept / self.totals[place] + self.backoffs[place] * lower
        return np.where(known, mixed, lower)


@dataclasses.dataclass(frozen=True)
class KneserNey:
    """An interpolated modified Kneser-Ney model of bytes and the end of text.

    Attributes:
        raw: per order 1..n, n-gram codes with how often each was seen.
        tables: per order 1..n, what `bits` interpolates; only the last one uses raw counts.
    """

    raw: tuple[tuple[Integers, Integers], ...]
    tables: tuple[_Table, ...]

    @classmethod
    def fit(cls, texts: Iterable[bytes], order: int) -> KneserNey:
        """Counts the n-grams of the texts, each preceded by `order` - 1 end symbols."""
        raw = [_counted(texts, order)]
        for _ in range(order - 1):
            codes, counts = raw[0]
            shorter, starts, by_suffix = _by_suffix(codes, order - len(raw))
            raw.insert(0, (shorter, np.add.reduceat(counts[by_suffix], starts)))
        return cls._interpolating(tuple(raw))

    @classmethod
    def _interpolating(cls, raw: tuple[tuple[Integers, Integers], ...]) -> KneserNey:
        tables = [_Table.of(*raw[-1])]
        for order in range(len(raw) - 1, 0, -1):
            codes, counts = raw[order - 1]
            _, starts, by_suffix = _by_suffix(raw[order][0], order)
            kinds = np.diff(np.append(starts, by_suffix.size))
            # Nothing stands before the start of a text, so what begins there keeps its count.
            at_start = (codes >> (_BITS * (order - 1)) == END) & (order > 1)
            tables.insert(0, _Table.of(codes, np.where(at_start, counts, kinds)))
        return cls(raw, tuple(tables))

    def lower(self, order: int) -> KneserNey:
        """The model of a lower order from the same counts."""
        return self if order == len(self.raw) else self._interpolating(self.raw[:order])

    def probabilities(self, codes: Integers) -> Floats:
        """Probability of the last symbol of each code after the others, float64 [n]."""
        found = np.full(codes.shape, 1.0 / SYMBOLS)
        for order, table in enumerate(self.tables, start=1):
            found = table.interpolate(codes & _mask(order), found)
        return found

    def bits(self, texts: Sequence[bytes]) -> Floats:
        """Bits of each text with its end symbol, float64 [texts]."""
        if not texts:
            return np.zeros(0)
        lengths = np.array([len(text) + 1 for text in texts])
        codes = _codes(texts, len(self.tables))
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        spent: Floats = np.add.reduceat(-np.log2(self.probabilities(codes)), starts)
        return spent


def _mask(order: int) -> int:
    return (1 << (_BITS * order)) - 1


def _codes(texts: Sequence[bytes], order: int) -> Integers:
    """The n-gram code that ends at each symbol of each text and at its end, in order."""
    padding = np.full(order - 1, END, np.int64)
    pieces: list[Any] = []
    for text in texts:
        pieces += [padding, np.frombuffer(text, np.uint8), [END]]
    symbols = np.concatenate(pieces).astype(np.int64)
    codes = np.zeros(symbols.size - order + 1, np.int64)
    for place in range(order):
        codes = (codes << _BITS) | symbols[place : place + codes.size]
    lengths = np.array([len(text) + 1 for text in texts])
    # Windows that end on the padding of the next text predict nothing.
    step = lengths + order - 1
    first = np.concatenate([[0], np.cumsum(step)[:-1]])
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    wanted: Integers = codes[np.repeat(first, lengths) + within]
    return wanted


def _counted(texts: Iterable[bytes], order: int) -> tuple[Integers, Integers]:
    codes, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for chunk in _chunks(texts):
        more, seen = np.unique(_codes(chunk, order), return_counts=True)
        codes, place = np.unique(np.concatenate([codes, more]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, seen])).astype(np.int64)
    return codes, counts


def _chunks(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text) + 1
        if size >= _CHUNK_SYMBOLS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _by_suffix(codes: Integers, order: int) -> tuple[Integers, Integers, Integers]:
    """Groups codes by their last `order` symbols: the suffixes, where each starts, the sorting."""
    suffixes = codes & _mask(order)
    by_suffix = np.argsort(suffixes, kind="stable")
    shorter, starts = np.unique(suffixes[by_suffix], return_index=True)
    return shorter, starts, by_suffix


def _discounts(counts: Integers) -> Floats:
    """What is taken from counts of 0, 1, 2 and at least 3, by Chen and Goodman's estimate.

    Where the counts of counts are too few for it, half a count is taken.
    """
    ones, twos, threes, fours = (
        float(np.count_nonzero(counts == number)) for number in range(1, 5)
    )
    if not min(ones, twos, threes, fours):
        return np.array([0.0, 0.5, 0.5, 0.5])
    rate = ones / (ones + 2 * twos)
    found = [
        0.0,
        1 - 2 * rate * twos / ones,
        2 - 3 * rate * threes / twos,
        3 - 4 * rate * fours / threes,
    ]
    # Something is always taken, so that no symbol is impossible, and never more than there is.
    limited: Floats = np.clip(np.array(found), [0.0, 0.05, 0.05, 0.05], [0.0, 1.0, 2.0, 3.0])
    return limited
