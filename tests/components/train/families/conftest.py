"""Tiny images of three classes as the transform step writes them, and a transform graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.artifacts import TransformedExamples

LABELS = ["cross", "dot", "stripes"]
SHAPE = (8, 8, 1)

# Quick shapes of every image family.
TINY: dict[str, dict[str, Any]] = {
    "vae": {"width": 8, "latent": 4},
    "gan": {"width": 8, "latent": 4},
    "diffusion": {
        "widths": [8, 16],
        "heads": 2,
        "connected": 16,
        "condition": 16,
        "sampling_steps": 3,
    },
    "rbm": {"hidden": 24},
}


def draw(label: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """A bright figure on a dark ground, a little moved and noisy."""
    image = np.full(SHAPE, -0.9, np.float32)
    at = random.integers(2, 6)
    if label == 0:
        image[at, :], image[:, at] = 0.9, 0.9
    elif label == 1:
        image[at - 1 : at + 2, at - 1 : at + 2] = 0.9
    else:
        image[at % 2 :: 2, :] = 0.9
    return np.clip(image + random.normal(0, 0.03, SHAPE), -1, 1).astype(np.float32)


def write_images(path: Path, rows: int = 96, shape: tuple[int, int, int] = SHAPE) -> Any:
    """Writes both splits; another shape is filled by repeating the figure."""
    import tensorflow as tf

    examples = TransformedExamples(path)
    random = np.random.default_rng(0)
    for split, count in (("train", rows), ("eval", max(1, rows // 3))):
        (path / split).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(examples.shard_path(split, 0))) as writer:
            for index in range(count):
                label = index % len(LABELS)
                image = np.resize(draw(label, random), shape)
                features = {
                    "image": tf.train.Feature(
                        float_list=tf.train.FloatList(value=image.reshape(-1))
                    ),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    "example_id": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[b"%d" % index])
                    ),
                }
                content = tf.train.Features(feature=features)
                writer.write(tf.train.Example(features=content).SerializeToString())
    examples.write_statistics(
        {
            "modality": "image",
            "shape": list(shape),
            "labels": LABELS,
            "train": {"rows": rows},
            "eval": {"rows": max(1, rows // 3)},
        }
    )
    return examples


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> TransformedExamples:
    """96 training images of 8x8 and 32 held-out ones."""
    written: TransformedExamples = write_images(tmp_path_factory.mktemp("images") / "transformed")
    return written


@pytest.fixture(scope="session")
def make_images() -> Callable[..., Any]:
    return write_images


@pytest.fixture(scope="session")
def tiny() -> dict[str, dict[str, Any]]:
    """Options of each family that make it small."""
    return TINY
