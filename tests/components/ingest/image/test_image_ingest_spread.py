"""On another Beam runner images become the same examples, whatever kind of source they lie in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import DataError
from components.ingest.image.ingest import run
from components.ingest.image.options import IngestImageOptions

Encode = Callable[..., bytes]


def test_another_runner_writes_the_images_of_a_folder(
    equal_on: Any, prism: Any, folder: Path, picture: Encode
) -> None:
    for number in range(8):
        (folder / "dog" / f"again{number}.png").write_bytes(picture(number))
    (folder / "cat" / "broken.png").write_bytes(b"no picture")
    manifest = equal_on(run, IngestImageOptions, prism, folder, least=8)
    assert manifest.duplicates == 4
    assert manifest.splits["eval"].rows > 0


def test_another_runner_takes_the_same_images_of_tables(
    equal_on: Any, prism: Any, folder: Path, picture: Encode
) -> None:
    times = [1990 + number % 30 for number in range(60)]
    lines = [
        f"{path.relative_to(folder)},{path.parent.name},{time}\n"
        for path, time in zip(sorted(folder.rglob("*.*")), times, strict=False)
    ]
    lines += ["gone.png,cat,1999\n", lines[0]]
    (folder / "a.csv").write_text("image,label,taken\n" + "".join(lines))
    table = pa.table(
        {
            "image": [picture(number) for number in range(30, 90)],
            "label": ["cat", "dog"] * 30,
            "taken": times,
        }
    )
    pq.write_table(table, folder / "b.parquet", row_group_size=9)
    manifest = equal_on(
        run,
        IngestImageOptions,
        prism,
        folder / "*",
        least=10,
        time_column="taken",
        reference_to="2005",
        current_from="2006",
        max_rows=50,
        provenance_column="",
    )
    assert manifest.duplicates > 0
    assert manifest.splits["current"].rows > 0


def test_another_runner_renders_the_same_emoji(
    equal_on: Any, prism: Any, monkeypatch: pytest.MonkeyPatch, many_parts: None
) -> None:
    from components.ingest import parts
    from components.ingest.image.emoji import Emoji

    try:
        Emoji("")
    except DataError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(parts, "PART_FILES", 1000)
    equal_on(run, IngestImageOptions, prism, "emoji:8", least=4, max_rows=200)


def test_images_of_one_class_are_told_as_here(prism: Any, folder: Path, tmp_path: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="at least two classes"):
        run(IngestImageOptions(source=str(folder), **prism), tmp_path / "out")
