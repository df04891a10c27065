"""What the suites for images let pass, what they set aside, and where they stop a run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.artifacts import Examples, Rejected, ValidationReport
from components.errors import ValidationError
from components.ingest.image.emoji import FONT, LIST
from components.ingest.image.ingest import run as ingest
from components.ingest.image.options import IngestImageOptions
from components.validate.options import ValidateOptions
from components.validate.validate import run

Make = Callable[[int], bytes]
Ingested = Callable[[Mapping[str, bytes]], Path]
OPTIONS = ValidateOptions(suite="image")


def _run(examples: Path, options: ValidateOptions = OPTIONS) -> dict[str, int]:
    root = examples.parent
    return run(examples, options, root / "validated", root / "rejected", root / "report")


def _scenes(picture: Make, count: int = 120) -> dict[str, bytes]:
    return {f"{'ab'[number % 2]}/{number}.png": picture(number) for number in range(count)}


def _flat(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (24, 24), (level, level, level)).save(stream, "PNG")
    return stream.getvalue()


def test_good_images_pass(picture: Make, ingested: Ingested) -> None:
    assert _run(ingested(_scenes(picture))) == {"rows": 120, "rejected": 0, "expectations": 14}


def test_broken_blank_and_tiny_images_are_set_aside_with_the_reason(
    picture: Make, ingested: Ingested
) -> None:
    small = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5).save(small, "PNG")
    bad = {
        "a/cut.png": picture(999)[:-30],
        "b/blank.png": _flat(128),
        "b/tiny.png": small.getvalue(),
    }
    examples = ingested({**_scenes(picture), **bad})
    assert _run(examples)["rejected"] == 3
    rows = pq.read_table(Rejected(examples.parent / "rejected").rows_path).to_pylist()
    reasons = {row["document_id"]: row["reason"] for row in rows}
    assert "can be decoded" in reasons["a/cut.png"]
    assert "no blank image" in reasons["b/blank.png"]
    assert "The width is 8 to 16,384 pixels." in reasons["b/tiny.png"]
    (cut,) = (row for row in rows if row["document_id"] == "a/cut.png")
    assert "truncated" in cut["problem"]
    validated = Examples(examples.parent / "validated")
    left = {
        name
        for split in ("train", "eval")
        for batch in validated.batches(split)
        for name in batch.column("document_id").to_pylist()
    }
    assert not left & set(bad)
    assert validated.manifest().details == {"labels": ["a", "b"]}
    assert "truncated" in ValidationReport(examples.parent / "report").html_path.read_text("utf-8")


def test_many_broken_images_stop_the_run(picture: Make, ingested: Ingested) -> None:
    bad = {f"a/cut{number}.png": picture(5000 + number)[:-30] for number in range(12)}
    message = r"of problem: .*can be decoded.*Received: 12 of 132 rows fail .*truncated"
    with pytest.raises(ValidationError, match=message):
        _run(ingested({**_scenes(picture), **bad}))


def test_near_duplicates_of_most_images_stop_the_run(picture: Make, ingested: Ingested) -> None:
    files = _scenes(picture, 30)
    base = np.asarray(Image.open(io.BytesIO(picture(0)))).copy()
    for number in range(90):
        base[0, number % 24] = number
        stream = io.BytesIO()
        Image.fromarray(base).save(stream, "PNG")
        files[f"a/again{number}.png"] = stream.getvalue()
    with pytest.raises(ValidationError, match="differ in structure: few are nearly the same"):
        _run(ingested(files))


def test_a_class_that_is_too_rare_stops_the_run(picture: Make, ingested: Ingested) -> None:
    files = {
        f"{'a' if number > 4 else 'rare'}/{number}.png": picture(number) for number in range(400)
    }
    with pytest.raises(ValidationError, match=r"No class has less than 10% of .*Received: 0\.0"):
        _run(ingested(files))


def test_few_rows_say_nothing_of_the_balance(picture: Make, ingested: Ingested) -> None:
    files = {f"{'a' if number else 'rare'}/{number}.png": picture(number) for number in range(60)}
    assert _run(ingested(files))["rejected"] == 0


@pytest.mark.skipif(
    not (FONT.is_file() and LIST.is_file()),
    reason="needs the Debian packages fonts-noto-color-emoji and unicode-data",
)
def test_emoji_meet_their_suite(tmp_path: Path) -> None:
    ingest(IngestImageOptions(source="emoji:", max_rows=600), tmp_path / "examples")
    found = _run(tmp_path / "examples", ValidateOptions(suite="emoji"))
    assert found["rejected"] == 0
    assert found["rows"] >= 590
