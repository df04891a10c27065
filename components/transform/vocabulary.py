"""A TensorFlow Transform analyzer that learns the subword vocabulary on Beam."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import apache_beam as beam
import numpy as np
import tensorflow_transform.beam as tft_beam
from apache_beam.io.filesystems import FileSystems

from components.transform.subwords import learn_subwords
from components.transform.tokenizer import (
    FIRST_SUBWORD,
    MAX_SUBWORD_BYTES,
    MAX_WORD_BYTES,
    VOCABULARY_NAME,
)

# TensorFlow refuses an empty vocabulary file. No valid UTF-8 holds these bytes, so a file with
# this line alone is a vocabulary without subwords.
NO_SUBWORDS = b"\xff\xff"

# Words kept on the one machine that learns: rarer ones hardly move a merge.
MAX_DISTINCT_WORDS = 500_000

_WordCount = tuple[bytes, int]


class LearnSubwords(tft_beam.experimental.PTransformAnalyzer):  # type: ignore[misc]
    """Batches of (distinct words, their counts) -> the path of a vocabulary file.

    Counting is spread over the workers; merging runs on one of them.
    """

    def __init__(self, vocabulary_size: int) -> None:
        """Sets the number of token ids, end of text and bytes included."""
        super().__init__()
        self._size = vocabulary_size - FIRST_SUBWORD

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        size, folder = self._size, self.base_temp_dir
        return (
            batches
            | "CountLocally" >> beam.ParDo(_CountWords())
            | "Count" >> beam.CombinePerKey(sum)
            | "MostFrequent" >> beam.combiners.Top.Of(MAX_DISTINCT_WORDS, key=_frequency)
            | "Learn" >> beam.Map(_write_vocabulary, size=size, folder=folder)
        )


class _CountWords(beam.DoFn):  # type: ignore[misc]
    """Adds counts up within a bundle, so that few pairs cross the shuffle."""

    def start_bundle(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def process(self, batch: tuple[np.ndarray, np.ndarray]) -> Iterable[_WordCount]:
        for word, count in zip(batch[0].tolist(), batch[1].tolist(), strict=True):
            if 1 < len(word) <= MAX_WORD_BYTES:
                self._counts[word] += count
        return ()

    def finish_bundle(self) -> Iterator[object]:
        for pair in self._counts.items():
            yield beam.transforms.window.GlobalWindows.windowed_value(pair)


def _frequency(pair: _WordCount) -> tuple[int, bytes]:
    return pair[1], pair[0]


def _write_vocabulary(words: list[_WordCount], size: int, folder: str) -> np.ndarray:
    """Learns from the counted words; returns the path of the file, a scalar of bytes."""
    subwords = learn_subwords(dict(words), size, max_bytes=MAX_SUBWORD_BYTES)
    # The name of the file becomes the name of the asset, so only its folder may be unique.
    parent = str(PurePosixPath(folder) / uuid.uuid4().hex)
    FileSystems.mkdirs(parent)
    path = str(PurePosixPath(parent) / VOCABULARY_NAME)
    with FileSystems.create(path) as stream:
        for subword in subwords or [NO_SUBWORDS]:
            stream.write(subword + b"\n")
    return np.array(path.encode())
