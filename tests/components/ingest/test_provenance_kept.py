"""Ingest keeps who made an example where the source says it, in every modality and format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.artifacts import Examples
from components.errors import DataError
from components.ingest.image.ingest import run as ingest_images
from components.ingest.image.options import IngestImageOptions
from components.ingest.ingest import run as ingest_texts
from components.ingest.options import IngestOptions
from components.ingest.table.ingest import run as ingest_table
from components.ingest.table.options import IngestTableOptions

TAGS = ["human", "model:text:3", "edited:text:3", None, "human", "model:text:4"]


def told(folder: Path, key: str) -> dict[Any, Any]:
    rows = [
        row
        for split in ("train", "eval", "current")
        for batch in Examples(folder).batches(split)
        for row in batch.to_pylist()
    ]
    return {row[key]: row["provenance"] for row in rows}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_texts(tmp_path: Path, ending: str) -> None:
    rows = [
        {"text": f"Paragraph {number} of some length.", "provenance": tag}
        for number, tag in enumerate(TAGS)
    ]
    source = write(tmp_path / f"texts.{ending}", rows)
    ingest_texts(IngestOptions(source=str(source)), tmp_path / "out")
    assert told(tmp_path / "out", "text") == {row["text"]: row["provenance"] for row in rows}


def test_what_the_source_does_not_say_the_configuration_may(tmp_path: Path) -> None:
    rows = [
        {"text": f"Paragraph {number} of some length.", "provenance": tag}
        for number, tag in enumerate(TAGS)
    ]
    source = write(tmp_path / "texts.csv", rows)
    options = IngestOptions(source=str(source), made_by="model:other:1")
    ingest_texts(options, tmp_path / "out")
    assert told(tmp_path / "out", "text")[rows[3]["text"]] == "model:other:1"
    assert told(tmp_path / "out", "text")[rows[0]["text"]] == "human"
    options = IngestOptions(source=str(source), provenance_column="")
    ingest_texts(options, tmp_path / "other")
    assert set(told(tmp_path / "other", "text").values()) == {None}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_a_table_do_not_learn_it(tmp_path: Path, ending: str) -> None:
    rows = [{"number": n, "who": tag} for n, tag in enumerate(TAGS * 4)]
    source = write(tmp_path / f"rows.{ending}", rows)
    options = IngestTableOptions(source=str(source), provenance_column="who")
    manifest = ingest_table(options, tmp_path / "out")
    assert [column["name"] for column in manifest.details["columns"]] == ["number"]
    assert told(tmp_path / "out", "number") == {row["number"]: row["who"] for row in rows}
    plain = write(tmp_path / "plain.csv", [{"number": n} for n in range(24)])
    ingest_table(IngestTableOptions(source=str(plain), made_by="human"), tmp_path / "plain")
    assert told(tmp_path / "plain", "number") == dict.fromkeys(range(24), "human")
    ids = [
        {row for batch in Examples(tmp_path / name).batches("train") for row in batch["example_id"]}
        for name in ("out", "plain")
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_images(tmp_path: Path, ending: str) -> None:
    rows = []
    for number, tag in enumerate(TAGS):
        content = io.BytesIO()
        PIL.Image.new("L", (8, 8), 40 * number).save(content, "PNG")
        (tmp_path / f"{number}.png").write_bytes(content.getvalue())
        image = content.getvalue() if ending == "parquet" else f"{number}.png"
        rows.append({"image": image, "label": "ab"[number % 2], "provenance": tag})
    source = write(tmp_path / f"images.{ending}", rows)
    ingest_images(IngestImageOptions(source=str(source)), tmp_path / "out")
    found = told(tmp_path / "out", "image")
    images = [(tmp_path / f"{number}.png").read_bytes() for number in range(len(TAGS))]
    assert [found[image] for image in images] == TAGS


def test_a_tag_that_is_none_is_one_line(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", [{"text": "Some text.", "provenance": "Bordeaux"}])
    with pytest.raises(DataError, match="Received: 'Bordeaux'; mend it, or name the column"):
        ingest_texts(IngestOptions(source=str(source)), tmp_path / "out")
    with pytest.raises(DataError, match=r"rows 1 to 1\. Received: 'Bordeaux'"):
        ingest_table(IngestTableOptions(source=str(source)), tmp_path / "out")
    with pytest.raises(ValidationError, match="expected one of human, model:NAME:VERSION"):
        IngestOptions(source="a.txt", made_by="robot")
