"""Sources of all modalities in object stores are read as the same files here would be."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from components.errors import DataError
from components.ingest import sources as texts
from components.ingest.image import sources as images
from components.ingest.ingest import run
from components.ingest.options import IngestOptions
from components.ingest.table import sources as tables
from serving import storage


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Texts, a table, and images that another table names."""
    root = tmp_path / "data"
    (root / "more").mkdir(parents=True)
    (root / "pictures").mkdir()
    (root / "a.txt").write_text("One paragraph.\n\nAnother one.\n")
    (root / "more" / "b.jsonl").write_text('{"text": "A line."}\n')
    (root / "rows.csv").write_text("x,y\n1,2\n3,4\n")
    for color in ("red", "blue"):
        Image.new("RGB", (4, 4), color).save(root / "pictures" / f"{color}.png")
    (root / "pictures.csv").write_text("image,label\npictures/red.png,r\npictures/blue.png,b\n")
    return root


@pytest.mark.parametrize(
    ("sources", "pattern"),
    [
        (texts, "a.txt"),
        (texts, "more"),
        (texts, "*.txt"),
        (texts, "**/*.jsonl"),
        (tables, "rows.csv"),
        (tables, "rows*"),
        (images, "pictures"),
        (images, "pictures.csv"),
    ],
)
def test_a_remote_source_has_the_digest_of_the_files(
    sources: ModuleType, pattern: str, s3: str, data: Path
) -> None:
    storage.upload(data, f"s3://{s3}/in/data")
    remote = f"s3://{s3}/in/data/{pattern}"
    assert sources.snapshot_digest(remote) == sources.snapshot_digest(f"{data}/{pattern}")
    assert sources.open_source(remote)


def test_a_remote_source_is_ingested(remote: str, data: Path, tmp_path: Path) -> None:
    (data / "b.txt").write_text("Of another document.\n")
    storage.upload(data, f"{remote}/in")
    manifest = run(IngestOptions(source=f"{remote}/in/*.txt"), tmp_path / "out")
    assert sum(split.rows for split in manifest.splits.values()) == 2
    again = run(IngestOptions(source=f"{data}/*.txt"), tmp_path / "local")
    assert again.snapshot_digest == manifest.snapshot_digest


@pytest.mark.parametrize("sources", [texts, tables, images])
def test_a_source_that_cannot_be_fetched_is_one_line(sources: ModuleType, remote: str) -> None:
    for source in (f"{remote}/nothing/here", f"{remote}-is-not-there/data"):
        with pytest.raises(DataError, match=r"^ingest.source: expected .* Received: no such") as e:
            sources.snapshot_digest(source)
        assert source in str(e.value)
