"""Small pictures of two shapes, and real SavedModels that draw them well or badly."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import EVAL, IMAGE, TRAIN, Examples, ExamplesManifest, SplitInfo

SIDE = 16
NAMES = ["cross", "ring", "disc/full"]
Draw = Callable[..., npt.NDArray[np.uint8]]
SaveModel = Callable[..., Path]


def shape_of(name: str, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One grey picture [SIDE, SIDE]: a shape somewhere, in some size and brightness, on noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    rows, columns = (grid + generator.uniform(-2, 2) for grid in (rows, columns))
    radius = np.hypot(rows, columns)
    size = generator.uniform(4, 6)
    drawn = {
        "cross": (np.abs(rows) < 1.5) | (np.abs(columns) < 1.5),
        "ring": np.abs(radius - size) < 1.2,
        "disc/full": radius < size,
    }[name]
    picture = drawn * generator.uniform(140, 230) + generator.normal(12, 4, (SIDE, SIDE))
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draws `count` pictures [count, SIDE, SIDE] of the classes in turn."""

    def pictures(count: int, seed: int) -> npt.NDArray[np.uint8]:
        generator = np.random.default_rng(seed)
        return np.stack([shape_of(NAMES[row % 3], generator) for row in range(count)])

    return pictures


@pytest.fixture(scope="session")
def write_examples(draw: Draw) -> Callable[..., Path]:
    """Writes image examples; `labels=False` leaves the classes out."""

    def write(path: Path, train: int = 600, held_out: int = 240, labels: bool = True) -> Path:
        examples, infos = Examples(path), {}
        for split, count, seed in ((TRAIN, train, 1), (EVAL, held_out, 2)):
            files = [png(picture) for picture in draw(count, seed)]
            (path / split).mkdir(parents=True)
            named = [NAMES[row % 3] if labels else "" for row in range(count)]
            table = pa.table(
                {
                    "example_id": pa.array([f"{split}-{row:05d}" for row in range(count)]),
                    "image": pa.array(files, pa.binary()),
                    "label": pa.array(named, pa.string()),
                }
            )
            pq.write_table(table, examples.shard_path(split, 0))
            infos[split] = SplitInfo(count, sum(map(len, files)), None, None)
        details = {"labels": NAMES if labels else []}
        columns = {"image": "binary", "label": "string"}
        examples.write_manifest(
            ExamplesManifest("test", "digest", infos, columns, modality=IMAGE, details=details)
        )
        return path

    return write


@pytest.fixture(scope="session")
def examples(write_examples: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("images") / "examples")


@pytest.fixture(scope="session")
def save_model(draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> SaveModel:
    """Saves a model folder that draws a stored picture of the class, chosen by the seed.

    With `memory`, the stored pictures are training images; with `noise`, grey noise of that
    standard deviation is added; `confuse` draws another class than it was asked for; without
    `labels` it knows no classes.
    """
    import tensorflow as tf

    def write(
        memory: bool = False, noise: float = 0.0, confuse: bool = False, labels: bool = True
    ) -> Path:
        stored = draw(600, 1 if memory else 7)
        names = NAMES if labels else [""]
        groups = stored.reshape(-1, 3, SIDE, SIDE).transpose(1, 0, 2, 3)
        groups = groups if labels else stored[np.newaxis]
        if confuse:
            groups = np.roll(groups, 1, axis=0)

        class Stored(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.pictures = tf.constant(groups[..., np.newaxis])
                self.names = tf.constant(names)
                self.asset: Any = None

            @tf.function(  # type: ignore[untyped-decorator]
                input_signature=[
                    tf.TensorSpec([None], tf.string, "label"),
                    tf.TensorSpec([None], tf.int64, "seed"),
                    tf.TensorSpec([None], tf.float32, "temperature"),
                ],
                autograph=False,
            )
            def generate(
                self, label: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
            ) -> dict[str, tf.Tensor]:
                own = tf.debugging.assert_equal(
                    tf.math.is_nan(temperature), True, "the family's own default is asked for"
                )
                known = tf.equal(label[:, tf.newaxis], self.names)
                with tf.control_dependencies([own]):
                    drawn = tf.cast(seed % len(names), tf.int64)
                ids = tf.where(tf.reduce_any(known, 1), tf.argmax(known, 1), drawn)
                count = tf.shape(self.pictures, tf.int64)[1]
                places = tf.stack([ids, (seed * 7919) % count], 1)
                picture = tf.cast(tf.gather_nd(self.pictures, places), tf.float32)
                added = tf.map_fn(
                    lambda one: tf.random.stateless_normal([SIDE, SIDE, 1], [one, 1]),
                    seed,
                    fn_output_signature=tf.float32,
                )
                levels = tf.clip_by_value(picture + noise * added, 0.0, 255.0)
                files = tf.map_fn(
                    tf.io.encode_png,
                    tf.cast(levels, tf.uint8),
                    fn_output_signature=tf.string,
                )
                return {"image": files, "label": tf.gather(self.names, ids)}

        module, folder = Stored(), tmp_path_factory.mktemp("model")
        (folder / "labels.json").write_text(json.dumps(names))
        module.asset = tf.saved_model.Asset(str(folder / "labels.json"))
        signatures = {"generate": module.generate, "serving_default": module.generate}
        tf.saved_model.save(module, str(folder / "model" / "saved_model"), signatures=signatures)
        return folder / "model"

    return write


@pytest.fixture(scope="session")
def good(save_model: SaveModel) -> Path:
    """A model that draws new pictures of the right classes."""
    return save_model()


@pytest.fixture(scope="session")
def noisy(save_model: SaveModel) -> Path:
    """A worse model."""
    return save_model(noise=60.0)
