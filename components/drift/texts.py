"""Chooses the texts of both sides of a comparison and measures them."""

from __future__ import annotations

import dataclasses
import heapq
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts import CURRENT, TRAIN, Examples
from components.drift.descriptors import DESCRIPTORS, describe, words_of
from components.drift.sides import Descriptor
from components.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORTEST_REST = 40
# Some dozens of samples are compared with them: more would not sharpen the comparison.
_OUTPUT_REFERENCE = 4000


@dataclasses.dataclass(frozen=True)
class Text:
    """One text with the digest that chose it, the document it belongs to, and its time."""

    key: str
    document: str
    text: str
    time: str = ""


@dataclasses.dataclass(frozen=True)
class Side:
    """Measured texts: `values` is float64 [texts, descriptors]; `documents` names each's origin."""

    texts: Sequence[Text]
    values: NDArray[np.float64]

    @property
    def documents(self) -> list[str]:
        return [text.document for text in self.texts]

    @property
    def descriptors(self) -> Sequence[Descriptor]:
        return DESCRIPTORS

    @property
    def columns(self) -> Sequence[NDArray[np.float64]]:
        return list(self.values.T)

    @property
    def owners(self) -> Sequence[str]:
        return self.documents

    @property
    def times(self) -> Sequence[str]:
        return [text.time for text in self.texts]

    @property
    def features(self) -> None:
        """Texts are compared by their descriptors alone."""

    @property
    def rows(self) -> int:
        return len(self.texts)


class Vocabulary:
    """The words of the training text, so that training text itself can be held against them.

    The documents fall into two halves; each is measured by the words of the other, and so is
    whatever is compared with them. Measured by its own words, training text would have no unseen
    word, and every other text would look drifted.
    """

    def __init__(self, texts: Sequence[Text]) -> None:
        # Few documents cannot be halved evenly, so their paragraphs are.
        self._by_document = len({text.document for text in texts}) >= 8
        self._halves: tuple[set[str], set[str]] = (set(), set())
        for text in texts:
            self._halves[self._half(text)].update(words_of(text.text))

    def _half(self, text: Text) -> int:
        return zlib.crc32((text.document if self._by_document else text.key).encode()) & 1

    def measure(self, texts: Sequence[Text]) -> Side:
        """Computes the descriptors of every text."""
        import numpy as np

        rows = [describe(text.text, self._halves[1 - self._half(text)]) for text in texts]
        return Side(texts, np.array(rows, np.float64).reshape(len(texts), len(DESCRIPTORS)))


def sides(source: Examples, samples: Path, most: int) -> dict[str, tuple[Side, Side]]:
    """Measures the sides of both comparisons: `data`, where there is a current era, and `output`.

    Args:
        source: the examples.
        samples: Parquet file of the evaluation's samples.
        most: texts of each side at most.

    Raises:
        DataError: there is no training text, or there are no samples.
    """
    training = choose(source, TRAIN, most)
    if not training:
        raise DataError(f"expected training text in {source.path}. Received: an empty train split")
    vocabulary = Vocabulary(training)
    found = {}
    if source.has(CURRENT):
        current = vocabulary.measure(choose(source, CURRENT, most))
        found["data"] = (vocabulary.measure(training), current)
    real, generated = choose_output(training[:_OUTPUT_REFERENCE], samples)
    if not real:
        raise DataError(
            "expected training texts longer than the samples' prompts. Received: none; "
            "give shorter prompts"
        )
    found["output"] = (vocabulary.measure(real), vocabulary.measure(generated))
    return found


def choose(examples: Examples, split: str, most: int) -> list[Text]:
    """At most `most` texts of a split: those with the smallest digests, whatever their order.

    The split is streamed; memory grows with `most`, not with the split.
    """
    return heapq.nsmallest(most, _stream(examples, split), key=lambda text: text.key)


def _stream(examples: Examples, split: str) -> Iterator[Text]:
    columns = ["example_id", "document_id", "text", "event_time"]
    for batch in examples.batches(split, columns=columns):
        rows = [batch.column(name).to_pylist() for name in columns]
        for key, document, text, time in zip(*rows, strict=True):
            yield Text(key, document, text or "", time.date().isoformat() if time else "")


@dataclasses.dataclass(frozen=True)
class _Sample:
    prompt: str
    text: str
    num_tokens: int


def choose_output(training: Sequence[Text], samples_path: Path) -> tuple[list[Text], list[Text]]:
    """Training texts cut as the samples were, and the samples.

    A sample starts after its prompt and stops when its tokens are spent. Uncut training texts
    would differ in length for that reason alone, and with length much else. So each training text
    loses as many characters as some prompt has, and is cut where a sample that spent its tokens
    ended; samples that ended by themselves cut nothing, so that ending too early still shows.

    Raises:
        DataError: there are no samples.
    """
    samples = _read_samples(samples_path)
    budget = max(sample.num_tokens for sample in samples)
    spent = [sample for sample in samples if sample.num_tokens == budget]
    ended_early = len(spent) < len(samples)
    cuts = [len(sample.text) for sample in spent] if ended_early or budget else []
    prompts = [len(sample.prompt) for sample in samples]
    real = []
    for place, text in enumerate(training):
        start = prompts[place % len(prompts)]
        rest = text.text[start:][: cuts[place % len(cuts)] if cuts else None]
        if not start or len(rest) >= _SHORTEST_REST:
            real.append(dataclasses.replace(text, text=rest))
    generated = [
        Text(f"sample {place}", f"sample {place}", sample.text)
        for place, sample in enumerate(samples)
    ]
    return real, generated


def _read_samples(path: Path) -> list[_Sample]:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"expected generated samples at {path}. Received: no such file")
    rows = pq.read_table(path, columns=["prompt", "text", "num_tokens"]).to_pylist()
    if not rows:
        raise DataError(f"expected generated samples at {path}. Received: an empty table")
    return [_Sample(row["prompt"] or "", row["text"] or "", row["num_tokens"]) for row in rows]
