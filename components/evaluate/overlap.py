"""The longest verbatim overlap of texts with the training text, in bounded memory.

For a length L, a rolling hash of every L characters of the training text is looked up among
those of the texts in question. Whether L characters overlap is monotone in L, so each text's
longest overlap is found by galloping and bisection; where L characters overlap is where longer
overlaps can start, so only the first lookups read the whole training text. The result is exact
but for a collision of 64-bit hashes. Whitespace is normalised first: a line break where a space
was does not hide a copy.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Characters = npt.NDArray[np.uint32]

_CHUNK = 1 << 18
_SEED = 16  # Shorter overlaps are everywhere, so galloping starts here.
_BASE = 0x9E3779B97F4A7C15  # Odd, so it has an inverse modulo 2**64.
_SCRAMBLE = np.uint64(0xD6E8FEB86659FD93)
_FILTER_BITS = 22


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A text's longest verbatim overlap: `length` characters from `start` of the given text.

    `length` counts normalised characters; `start` and `end` are places in the text as given.
    """

    length: int
    start: int
    end: int


def normalise(text: str) -> str:
    """Runs of whitespace and NUL become one space; none at the ends."""
    return " ".join(text.replace("\0", " ").split())


class TrainingText:
    """Training text that other texts are compared with; 1 to 4 bytes a character in memory."""

    def __init__(self, texts: Iterable[str]) -> None:
        # NUL, which no normalised text has, keeps overlaps from crossing from text to text.
        joined = "\0".join(normalise(text) for text in texts)
        wide = _codes(joined)
        largest = int(wide.max()) if wide.size else 0
        self._characters = wide.astype(np.min_scalar_type(largest))

    def longest(self, texts: Sequence[str]) -> list[Overlap]:
        """The longest overlap of each text; the first one where several are as long."""
        kept = [_kept(text) for text in texts]
        search = _Search(self._characters, [_codes(characters) for characters, _ in kept])
        found = [search.longest(index) for index in range(len(texts))]
        return [
            Overlap(length, places[first], places[first + length - 1] + 1)
            if length
            else Overlap(0, 0, 0)
            for (length, first), (_, places) in zip(found, kept, strict=True)
        ]


def _kept(text: str) -> tuple[str, list[int]]:
    """The normalised text, and where each of its characters stands in the given one."""
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        if letter.isspace() or letter == "\0":
            if letters and letters[-1] != " ":
                letters.append(" ")
                places.append(place)
        else:
            letters.append(letter)
            places.append(place)
    if letters and letters[-1] == " ":
        letters.pop()
        places.pop()
    return "".join(letters), places


def _codes(text: str) -> Characters:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


class _Search:
    """Looks texts up in the training text; remembers every length it has looked up."""

    def __init__(self, corpus: npt.NDArray[Any], texts: Sequence[Characters]) -> None:
        self._corpus = corpus
        self._sizes = [text.size for text in texts]
        sizes = np.array(self._sizes, np.int64)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._all = np.concatenate([*texts, np.zeros(0, np.uint32)])
        self._owner = np.repeat(np.arange(len(texts)), sizes)
        self._firsts: dict[int, Places] = {}
        self._hits: dict[int, Places] = {}

    def longest(self, index: int) -> tuple[int, int]:
        """Length and start of a text's longest overlap."""
        good, bad = 0, self._sizes[index] + 1
        probe = _SEED
        while probe < bad and self._has(index, probe):
            good, probe = probe, probe * 2
        bad = min(bad, probe)
        while bad - good > 1:
            probe = _middle(good, bad)
            good, bad = (probe, bad) if self._has(index, probe) else (good, probe)
        return good, int(self._first(good)[index]) if good else 0

    def _has(self, index: int, length: int) -> bool:
        return bool(self._first(length)[index] >= 0)

    def _first(self, length: int) -> Places:
        """For each text, where its first overlap of `length` characters starts, or -1."""
        if length not in self._firsts:
            self._firsts[length] = self._look_up(length)
        return self._firsts[length]

    def _look_up(self, length: int) -> Places:
        first = np.full(len(self._sizes), -1, np.int64)
        if self._all.size < length:
            return first
        hashes = _rolling(self._all, length)
        place = np.arange(hashes.size)
        inside = place + length <= self._ends[self._owner[: hashes.size]]
        shared = self._shared(np.unique(hashes[inside]), length)
        hits = np.flatnonzero(np.isin(hashes, shared) & inside)[::-1]
        first[self._owner[hits]] = hits - self._starts[self._owner[hits]]
        return first

    def _shared(self, wanted: Hashes, length: int) -> Hashes:
        """Which of the sorted hashes occur in the corpus; remembers where."""
        seen = np.zeros(wanted.size, bool)
        places = [np.zeros(0, np.int64)]
        shift = np.uint64(64 - _FILTER_BITS)
        maybe = np.zeros(1 << _FILTER_BITS, bool)
        maybe[(wanted >> shift).astype(np.int64)] = True
        for where, hashes in self._windows(length):
            likely = np.flatnonzero(maybe[(hashes >> shift).astype(np.int64)])
            entry = np.minimum(np.searchsorted(wanted, hashes[likely]), wanted.size - 1)
            same = wanted[entry] == hashes[likely]
            seen[entry[same]] = True
            places.append(where[likely[same]])
        self._hits[length] = np.concatenate(places)
        return wanted[seen]

    def _windows(self, length: int) -> Iterator[tuple[Places, Hashes]]:
        """Places of the corpus where an overlap may start, with the hash of what stands there."""
        shorter = [known for known in self._hits if known <= length]
        last = self._corpus.size - length
        if shorter:
            places = self._hits[max(shorter)]
            places = places[places <= last]
            for start in range(0, places.size, _CHUNK):
                some = places[start : start + _CHUNK]
                yield some, _direct(self._corpus, some, length)
        else:
            for start in range(0, last + 1, _CHUNK):
                piece = self._corpus[start : start + _CHUNK + length - 1]
                hashes = _rolling(piece, length)
                yield np.arange(start, start + hashes.size), hashes


def _middle(good: int, bad: int) -> int:
    """The roundest number in between, so that all texts probe the same few lengths."""
    step = 1 << (bad - good).bit_length()
    while True:
        step >>= 1
        found = (good // step + 1) * step
        if good < found < bad:
            return found


def _rolling(characters: npt.NDArray[Any], length: int) -> Hashes:
    """Polynomial hash modulo 2**64 of every window of `length` characters."""
    powers, inverses = _powers(1 << (characters.size - 1).bit_length())
    sums = np.zeros(characters.size + 1, np.uint64)
    np.cumsum(_scrambled(characters) * powers[: characters.size], out=sums[1:])
    windows = sums[length:] - sums[:-length]
    return _finished(windows * inverses[: windows.size])


def _direct(characters: npt.NDArray[Any], places: Places, length: int) -> Hashes:
    """The same hash, of the windows that start at `places`."""
    powers, _ = _powers(1 << (length - 1).bit_length())
    windows = np.zeros(places.size, np.uint64)
    for offset in range(length):
        windows += _scrambled(characters[places + offset]) * powers[offset]
    return _finished(windows)


def _scrambled(characters: npt.NDArray[Any]) -> Hashes:
    """Spreads characters over 64 bits, so that texts of few different letters do not collide."""
    spread = characters.astype(np.uint64) * _SCRAMBLE
    return spread ^ (spread >> np.uint64(29))


def _finished(windows: Hashes) -> Hashes:
    return (windows ^ (windows >> np.uint64(32))) * _SCRAMBLE


@functools.lru_cache(maxsize=8)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """The base's powers 0..size-1 modulo 2**64, and those of its inverse."""

    def series(base: int) -> Hashes:
        steps = np.full(size, np.uint64(base))
        steps[0] = 1
        return np.cumprod(steps, dtype=np.uint64)

    return series(_BASE), series(pow(_BASE, -1, 1 << 64))
