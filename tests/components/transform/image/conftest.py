"""Pictures of many kinds, ingested and transformed once for all tests of the step."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.artifacts import Examples, TransformedExamples, TransformGraph
from components.ingest.image.ingest import run as ingest
from components.ingest.image.options import IngestImageOptions
from components.transform.image.options import TransformImageOptions
from components.transform.image.transform import run as transform


@dataclasses.dataclass(frozen=True)
class Transformed:
    """What the step read and wrote."""

    examples: Examples
    graph: TransformGraph
    transformed: TransformedExamples
    statistics: dict[str, Any]

    def rows(self, split: str) -> dict[str, dict[str, Any]]:
        """Rows by example_id."""
        return {
            row["example_id"]: row
            for batch in self.examples.batches(split)
            for row in batch.to_pylist()
        }

    def written(self, split: str) -> dict[str, tf.train.Example]:
        """The transformed rows by example_id."""
        paths = [str(path) for path in self.transformed.shards(split)]
        found = {}
        for record in tf.data.TFRecordDataset(paths):
            example = tf.train.Example.FromString(record.numpy())
            name = example.features.feature["example_id"].bytes_list.value[0].decode()
            found[name] = example
        return found


def _draw(folder: Path) -> None:
    """Pictures of all modes and sizes; dots are grey PNG, bars all else."""
    kinds = ("RGB", "RGBA", "P", "LA", "JPEG", "JPEG grey")
    for number in range(48):
        rng = np.random.default_rng(number)
        size = (int(rng.integers(12, 60)), int(rng.integers(12, 60)))
        colour = Image.fromarray(rng.integers(0, 256, (4, 4, 4), np.uint8), "RGBA")
        colour = colour.resize(size, Image.Resampling.BICUBIC)
        kind = "L" if number % 2 else kinds[number // 2 % len(kinds)]
        image = colour.convert("RGB") if kind == "JPEG" else colour
        if kind == "JPEG grey":
            image = colour.convert("L")
        elif kind != "JPEG":
            image = colour.convert("RGB").convert(kind) if kind == "P" else colour.convert(kind)
        stream = io.BytesIO()
        image.save(stream, "JPEG" if kind.startswith("JPEG") else "PNG")
        path = folder / ("dot" if number % 2 else "bar") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stream.getvalue())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder: Path = tmp_path_factory.mktemp("pictures")
    _draw(folder / "source")
    ingest(IngestImageOptions(source=str(folder / "source"), eval_percent=25), folder / "examples")
    return Examples(folder / "examples")


@pytest.fixture(scope="session")
def step(pictures: Examples) -> Transformed:
    root = pictures.path.parent
    options = TransformImageOptions(height=16, width=12, channels=3)
    statistics = transform(pictures.path, options, root / "graph", root / "transformed")
    return Transformed(
        pictures,
        TransformGraph(root / "graph"),
        TransformedExamples(root / "transformed"),
        statistics,
    )
