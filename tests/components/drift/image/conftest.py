"""Pictures as examples and as samples, drawn from a small world that can be made to drift."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from components.artifacts import IMAGE, Evaluation, Examples, ExamplesManifest, SplitInfo

Picture = tuple[str, bytes]
LABELS = ("disc", "square", "stripe")


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def draw() -> Callable[..., list[Picture]]:
    """Discs, squares and stripes of random place, size and colour; `change` alters the pixels."""

    def one(rng: np.random.Generator, label: str, grey: bool) -> np.ndarray:
        colour = tuple(int(value) for value in rng.integers(60, 230, 3))
        canvas = Image.new("RGB", (24, 24), "white")
        x, y = (int(value) for value in rng.integers(2, 12, 2))
        size = int(rng.integers(6, 12))
        brush = ImageDraw.Draw(canvas)
        if label == "disc":
            brush.ellipse((x, y, x + size, y + size), fill=colour)
        elif label == "square":
            brush.rectangle((x, y, x + size, y + size), fill=colour)
        else:
            brush.line((x, 2, x + size, 22), fill=colour, width=4)
        return np.asarray(canvas.convert("L") if grey else canvas)

    def many(
        count: int,
        seed: int,
        labels: Sequence[str] = LABELS,
        change: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
        grey: bool = False,
    ) -> list[Picture]:
        rng = np.random.default_rng(seed)
        pictures = []
        for number in range(count):
            label = labels[number % len(labels)]
            pixels = one(rng, label, grey)
            if change:
                pixels = np.clip(change(pixels.astype(float), rng), 0, 255).astype(np.uint8)
            pictures.append((label, _png(pixels)))
        return pictures

    return many


@pytest.fixture
def write_examples(tmp_path: Path) -> Callable[..., Path]:
    """Writes splits as the validate step leaves them, in an order that is none of digests."""

    def write(splits: Mapping[str, Sequence[Picture]], name: str = "examples") -> Path:
        examples = Examples(tmp_path / name)
        infos = {}
        for split, rows in splits.items():
            shard = examples.shard_path(split, 0)
            shard.parent.mkdir(parents=True)
            names = [f"{split} {place}" for place in range(len(rows))]
            columns = {
                "example_id": [hashlib.sha256(name.encode()).hexdigest()[:32] for name in names],
                "document_id": names,
                "image": [file for _, file in rows],
                "label": [label for label, _ in rows],
            }
            pq.write_table(pa.table(columns), shard)
            times = ("2010-10-11", "2015-06-09") if split == "train" else ("2016-06-03", "2022")
            infos[split] = SplitInfo(len(rows), 0, *times)
        labels = sorted({label for label, _ in splits["train"]})
        manifest = ExamplesManifest(
            "pictures", "0" * 64, infos, {}, modality=IMAGE, details={"labels": labels}
        )
        examples.write_manifest(manifest)
        return examples.path

    return write


@pytest.fixture
def write_samples(tmp_path: Path) -> Callable[[Sequence[Picture]], Path]:
    """Writes pictures as the samples of an evaluation."""

    def write(pictures: Sequence[Picture]) -> Path:
        evaluation = Evaluation(tmp_path / "evaluation")
        evaluation.path.mkdir(exist_ok=True)
        columns = {
            "label": pa.array([label for label, _ in pictures], pa.string()),
            "seed": pa.array(range(len(pictures)), pa.int64()),
            "image": pa.array([file for _, file in pictures], pa.binary()),
        }
        pq.write_table(pa.table(columns), evaluation.samples_path)
        return evaluation.path

    return write
