"""Real images as arrays, in the shape of the generated ones, and the classes to ask for."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from components.artifacts import EVAL, TRAIN, Examples
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.image.pictures import Images, decode

Labels = npt.NDArray[np.int32]
_MOST_TRAINING = 60_000
_MOST_BYTES = 1 << 29  # Of training images, decoded.


@dataclasses.dataclass(frozen=True)
class Real:
    """Real images.

    Attributes:
        training, held_out: uint8 [rows, height, width, channels].
        train_labels, held_out_labels: int32 [rows], -1 for images of no class.
        classes: how many; 0 for images without classes.
    """

    training: Images
    train_labels: Labels
    held_out: Images
    held_out_labels: Labels
    classes: int


def read(
    source: Examples, names: list[str], shape: tuple[int, ...], options: EvaluateImageOptions
) -> Real:
    """Reads both splits, each chosen by digest where it has too many images.

    Args:
        source: the examples.
        names: of the classes, in the order of their ids.
        shape: height, width and channels of the generated images.
        options: how many held-out images are compared with.
    """
    most = min(_MOST_TRAINING, max(options.samples, _MOST_BYTES // math.prod(shape)))
    training, train_labels = _split(source, TRAIN, names, shape, most)
    held_out, held_out_labels = _split(source, EVAL, names, shape, options.samples)
    classes = len(names) if len(names) > 1 else 0
    return Real(training, train_labels, held_out, held_out_labels, classes)


def wanted(source: Examples, names: list[str], options: EvaluateImageOptions) -> list[str]:
    """The classes to ask for: those of the held-out images, so that both have the same mix.

    An image of none of the model's classes asks for any, which is the empty text.
    """
    kept = _kept(source, EVAL, options.samples)
    known = set(names)
    return [
        label if label in known else ""
        for batch in source.batches(EVAL, ["example_id", "label"])
        for example_id, label in zip(
            batch.column("example_id").to_pylist(), batch.column("label").to_pylist(), strict=True
        )
        if example_id in kept
    ]


def ids(labels: list[str], names: list[str]) -> Labels:
    """Ids of class names, -1 for what is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(label, -1) for label in labels], np.int32)


def _split(
    source: Examples, split: str, names: list[str], shape: tuple[int, ...], most: int
) -> tuple[Images, Labels]:
    kept = _kept(source, split, most)
    parts: list[Images] = []
    labels: list[str] = []
    for batch in source.batches(split, ["example_id", "image", "label"]):
        rows = [
            row
            for row, example_id in enumerate(batch.column("example_id").to_pylist())
            if example_id in kept
        ]
        chosen = batch.take(rows)
        parts.append(decode(chosen.column("image").to_pylist(), shape))
        labels += chosen.column("label").to_pylist()
        print(f"progress: read {len(labels):,} of {len(kept):,} {split} images", flush=True)
    return np.concatenate(parts), ids(labels, names)


def _kept(source: Examples, split: str, most: int) -> set[str]:
    found = sorted(
        example_id
        for batch in source.batches(split, ["example_id"])
        for example_id in batch.column("example_id").to_pylist()
    )
    return set(found[:most])
