"""Chooses the texts of both sides of a comparison and measures them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import CURRENT, TRAIN, Examples
from components.drift.choosing import smallest
from components.drift.descriptors import DESCRIPTORS, describe, words_of
from components.drift.domain import MOST_ROWS
from components.drift.reference import Reference, in_common
from components.drift.requests import Request
from components.drift.sides import Descriptor, Sides
from components.drift.text_features import text_features
from components.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORTEST_REST = 40
# Some dozens of samples are compared with them: more would not sharpen the comparison.
_OUTPUT_REFERENCE = 4000
_PROMPT_REFERENCE = 4000
# It is measured by the words of the run's own training text, so no other run's can be like it.
_OF_ONE_RUN = frozenset({"unknown_words"})
_WORD = re.compile(r"\S+")


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

    @functools.cached_property
    def features(self) -> NDArray[np.float64]:
        """Words and letter triples of the first texts, as many as a classifier looks at."""
        return text_features([text.text for text in self.texts[:MOST_ROWS]])

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


def sides(source: Examples, samples: Path, most: int) -> Mapping[str, tuple[Any, Any]]:
    """The sides of `data`, where there is a current era, and of `output`; see `measure`."""
    return measure(source, samples, most).pairs


def measure(
    source: Examples,
    samples: Path,
    most: int,
    requests: Sequence[Request] = (),
    earlier: Reference | None = None,
) -> Sides:
    """Measures the sides of all comparisons.

    Args:
        source: the examples.
        samples: Parquet file of the evaluation's samples.
        most: texts of each side at most.
        requests: what users asked for; none for no comparison `prompt`.
        earlier: the training text of another version; None for no comparison `reference`.

    Raises:
        DataError: there is no training text, there are no samples, or no request has a prompt.
    """
    training = choose(source, TRAIN, most)
    if not training:
        raise DataError(f"expected training text in {source.path}. Received: an empty train split")
    vocabulary = Vocabulary(training)
    known = vocabulary.measure(training)
    found: dict[str, tuple[Any, Any]] = {}
    notes: dict[str, Sequence[str]] = {}
    if source.has(CURRENT):
        found["data"] = (known, vocabulary.measure(choose(source, CURRENT, most)))
    if requests:
        asked = _prompts(requests)
        openings, told = _openings(training[:_PROMPT_REFERENCE], samples, asked)
        found["prompt"] = (vocabulary.measure(openings), vocabulary.measure(asked))
        notes["prompt"] = told
    real, generated = choose_output(training[:_OUTPUT_REFERENCE], samples)
    if not real:
        raise DataError(
            "expected training texts longer than the samples' prompts. Received: none; "
            "give shorter prompts"
        )
    found["output"] = (vocabulary.measure(real), vocabulary.measure(generated))
    if earlier is not None:
        before, now, notes["reference"] = in_common(earlier.side, known, _OF_ONE_RUN)
        found["reference"] = (
            dataclasses.replace(before, features=earlier.side.features),
            dataclasses.replace(now, features=known.features),
        )
    return Sides(found, known, notes=notes)


def choose(examples: Examples, split: str, most: int) -> list[Text]:
    """At most `most` texts of a split: those with the smallest digests, whatever their order.

    The split is streamed; memory grows with `most`, not with the split.
    """
    columns = ["example_id", "document_id", "text", "event_time"]
    table = smallest(examples, split, most, columns)
    if not table.num_rows:
        return []
    rows = [table.column(name).to_pylist() for name in columns]
    return [
        Text(key, document, text or "", time.date().isoformat() if time else "")
        for key, document, text, time in zip(*rows, strict=True)
    ]


def texts_of(
    texts: Iterable[str], documents: Sequence[str] = (), times: Sequence[str] = ()
) -> list[Text]:
    """Texts from anywhere, such as the answers of a served model, in the order of their digests.

    Args:
        texts: what is to be compared.
        documents: of each what it belongs to, where texts of one resemble each other.
        times: of each its date (ISO 8601), '' where unknown.
    """
    found = []
    for place, text in enumerate(texts):
        key = hashlib.sha256(f"{place}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
        document = documents[place] if len(documents) else key
        found.append(Text(key, document, text, times[place] if len(times) else ""))
    return sorted(found, key=lambda text: text.key)


def _prompts(requests: Sequence[Request]) -> list[Text]:
    """The prompts of requests; those that let the model begin by itself say nothing.

    Raises:
        DataError: no request has one.
    """
    found = [
        Text(f"request {place}.{number}", f"request {place}", str(prompt), request.time)
        for place, request in enumerate(requests)
        for number, prompt in enumerate(request.values("prompt"))
        if str(prompt).strip()
    ]
    if not found:
        names = sorted({name for request in requests for name in request.inputs})
        raise DataError(
            "drift.prompts: expected requests with a prompt. Received: none among "
            f"{len(requests)}, whose inputs are {', '.join(names) or 'empty'}"
        )
    return found


def _openings(
    training: Sequence[Text], samples: Path, asked: Sequence[Text]
) -> tuple[list[Text], list[str]]:
    """Openings of training texts, as long as the prompts of the evaluation.

    Those prompts are openings of held-out texts, too few to compare with; training texts have
    enough of them.
    """
    lengths = [len(_WORD.findall(sample.prompt)) for sample in _read_samples(samples)]
    lengths = [length for length in lengths if length]
    notes = []
    if not lengths:
        lengths = [len(_WORD.findall(prompt.text)) for prompt in asked]
        notes.append(
            "The evaluation gave no prompts, so training texts were cut where users' prompts end: "
            "their length cannot differ."
        )
    found = []
    for place, text in enumerate(training):
        words = list(_WORD.finditer(text.text))[: lengths[place % len(lengths)]]
        if words:
            opening = text.text[words[0].start() : words[-1].end()]
            found.append(dataclasses.replace(text, text=opening))
    return found, notes


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
