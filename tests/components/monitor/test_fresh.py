"""Fresh data are held against training data as the drift step does, from a folder or an era."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples, ExamplesManifest, SplitInfo
from components.drift.options import DriftOptions
from components.monitor.fresh import fresh_sides

OPTIONS = DriftOptions()


def texts(folder: Path, word: str, **splits: int) -> Examples:
    examples = Examples(folder)
    for split, count in splits.items():
        rows = [
            {
                "example_id": f"{folder.name}{split}{n}",
                "document_id": f"{split}{n // 5}",
                "text": f"{word} number {n} of them is here.",
                "event_time": None,
            }
            for n in range(count)
        ]
        (folder / split).mkdir(parents=True)
        schema = pa.schema(
            [
                ("example_id", pa.string()),
                ("document_id", pa.string()),
                ("text", pa.string()),
                ("event_time", pa.timestamp("us", "UTC")),
            ]
        )
        pq.write_table(pa.Table.from_pylist(rows, schema), examples.shard_path(split, 0))
    infos = {name: SplitInfo(count, 1, None, None) for name, count in splits.items()}
    examples.write_manifest(ExamplesManifest("x", "d", infos, {}))
    return examples


def test_fresh_texts_are_all_of_the_fresh_examples(tmp_path: Path) -> None:
    training = texts(tmp_path / "training", "Congress", train=50, eval=9, current=30)
    fresh = texts(tmp_path / "fresh", "Tweet", train=40, eval=10)
    pair = fresh_sides(training, fresh, OPTIONS)
    assert not isinstance(pair, str)
    assert (pair[0].rows, pair[1].rows) == (50, 50)
    pair = fresh_sides(training, None, OPTIONS)
    assert not isinstance(pair, str)
    assert pair[1].rows == 30


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    training = texts(tmp_path / "training", "Congress", train=50, eval=9)
    assert "no fresh data were given" in str(fresh_sides(training, None, OPTIONS))
    few = texts(tmp_path / "few", "Tweet", train=2, eval=1)
    assert fresh_sides(training, few, OPTIONS) == "3 fresh texts, and 20 are needed"


def test_fresh_rows_of_a_table_are_compared_column_by_column(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    from components.ingest.table.ingest import run
    from components.ingest.table.options import IngestTableOptions

    draws = random.Random(0)

    def ingested(name: str, mean: float) -> Examples:
        lines = [f"{draws.choice('ab')},{draws.gauss(mean, 1):.4f}" for _ in range(300)]
        file = tmp_path / f"{name}.csv"
        file.write_text("kind,size\n" + "\n".join(lines) + "\n", "utf-8")
        run(IngestTableOptions(source=str(file)), tmp_path / name)
        return Examples(tmp_path / name)

    pair = fresh_sides(ingested("training", 0), ingested("fresh", 5), OPTIONS)
    assert not isinstance(pair, str)
    names = [descriptor.name for descriptor in pair[0].descriptors]
    before, after = (side.columns[names.index("size")].mean() for side in pair)
    assert after - before > 4
    assert pair[1].rows == 300


def test_fresh_images_are_compared_by_what_they_look_like(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    from components.ingest.image.ingest import run
    from components.ingest.image.options import IngestImageOptions

    draws = np.random.default_rng(0)

    def ingested(name: str, brightness: int) -> Examples:
        for number in range(40):
            path = tmp_path / f"{name}-files" / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = brightness + draws.integers(0, 60, (10, 10))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        run(IngestImageOptions(source=str(tmp_path / f"{name}-files")), tmp_path / name)
        return Examples(tmp_path / name)

    pair = fresh_sides(ingested("training", 20), ingested("fresh", 150), OPTIONS)
    assert not isinstance(pair, str)
    names = [descriptor.name for descriptor in pair[0].descriptors]
    place = names.index("brightness")
    before, after = (side.columns[place].mean() for side in pair)
    assert after > before
    assert pair[1].rows == 40
