"""The installed dataset, and what is said where it is not installed."""

from __future__ import annotations

import gzip
import itertools
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.errors import DataError
from components.ingest.image.fashion_mnist import CLASSES, FashionMnist
from components.ingest.image.ingest import run
from components.ingest.image.inspection import inspect
from components.ingest.image.options import IngestImageOptions

INSTALLED = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz").is_file()
needs_package = pytest.mark.skipif(
    not INSTALLED, reason="needs the Debian package dataset-fashion-mnist"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The four files with 60 and 10 pictures."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        head = struct.pack(">4I", 0x803, count, 28, 28)
        content = gzip.compress(head + images.tobytes())
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(content)
        content = gzip.compress(struct.pack(">2I", 0x801, count) + labels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(content)
    return folder


def test_pictures_come_with_their_class_and_their_own_split(installed: Path) -> None:
    found = list(FashionMnist("", (str(installed),)).pictures("", "label", ""))
    assert len(found) == 70
    assert [each.label for each in found[:10]] == list(CLASSES)
    assert [each.held_out for each in found] == [False] * 60 + [True] * 10
    assert len({each.document_id for each in found}) == 70
    (first,) = inspect([found[0].read()], 1 << 20, 4096)
    assert (first.width, first.height, first.channels, first.problem) == (28, 28, 1, "")


def test_the_folder_of_keras_will_do(installed: Path) -> None:
    files = FashionMnist("", ("/nowhere", str(installed))).files()
    assert {path.parent for path in files.values()} == {installed}


def test_what_is_missing_is_said_with_the_way_to_get_it() -> None:
    with pytest.raises(DataError, match=r"Debian package dataset-fashion-mnist, or run python -c"):
        FashionMnist("", ("/nowhere",))


def test_a_file_that_is_cut_short_is_one_clear_line(installed: Path) -> None:
    path = installed / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"an IDX file at .*train-images.*Received: Compressed"):
        next(FashionMnist("", (str(installed),)).pictures("", "label", ""))


@needs_package
def test_the_dataset_is_what_its_authors_describe() -> None:
    found = list(FashionMnist("").pictures("", "label", ""))
    counts = Counter((each.label, each.held_out) for each in found)
    assert set(counts.values()) == {6000, 1000}
    looked = inspect([each.read() for each in itertools.islice(found, 0, None, 70)], 1 << 20, 4096)
    assert 0.27 < float(np.mean([each.brightness for each in looked])) < 0.30


@needs_package
def test_its_own_test_images_are_held_out_where_asked(tmp_path: Path) -> None:
    options = IngestImageOptions(source="fashion-mnist:", split="source", max_rows=700)
    manifest = run(options, tmp_path / "examples")
    import pyarrow.parquet as pq

    names = {
        split: pq.read_table(tmp_path / "examples" / split, columns=["document_id"])
        .column(0)
        .to_pylist()
        for split in ("train", "eval")
    }
    assert {name.split("/")[0] for name in names["train"]} == {"train"}
    assert {name.split("/")[0] for name in names["eval"]} == {"t10k"}
    assert manifest.splits["train"].rows + manifest.splits["eval"].rows == 700
    assert 60 <= len(names["eval"]) <= 140
