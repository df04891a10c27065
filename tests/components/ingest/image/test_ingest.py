"""Images of folders and tables become examples; what is broken is kept and named."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import IMAGE, Examples
from components.errors import ConfigError, DataError
from components.ingest.documents import rank
from components.ingest.image.ingest import COLUMNS, run
from components.ingest.image.options import IngestImageOptions

Encode = Callable[..., bytes]
Rows = Callable[[Path], list[dict[str, Any]]]
ROOT = Path(__file__).parents[4]


def test_a_folder_becomes_examples_with_the_classes_of_its_subfolders(
    folder: Path, tmp_path: Path, rows: Rows
) -> None:
    manifest = run(IngestImageOptions(source=str(folder)), tmp_path / "examples")
    assert manifest.modality == IMAGE
    assert manifest.details == {"labels": ["cat", "dog"]}
    assert Examples(tmp_path / "examples").manifest() == manifest
    found = rows(tmp_path / "examples")
    assert list(found[0])[:-1] == list(COLUMNS)
    assert len(found) == 40
    assert manifest.splits["train"].rows + manifest.splits["eval"].rows == 40
    assert manifest.splits["eval"].rows > 0
    for row in found:
        assert row["image"] == (folder / row["document_id"]).read_bytes()
        assert row["label"] == row["document_id"].split("/")[0]
        assert (row["width"], row["height"], row["channels"]) == (10, 12, 3)
        assert row["problem"] is None
        assert 0.4 < row["brightness"] < 0.6
    assert len({row["perceptual_hash"] for row in found}) == 40


def test_splits_and_ids_do_not_depend_on_where_the_folder_lies(
    folder: Path, tmp_path: Path, rows: Rows
) -> None:
    run(IngestImageOptions(source=str(folder)), tmp_path / "one")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "other name")
    run(IngestImageOptions(source=f"file://{moved}".replace(" ", "%20")), tmp_path / "two")
    assert rows(tmp_path / "one") == rows(tmp_path / "two")


def test_equal_pixels_are_kept_once_however_they_are_encoded(
    folder: Path, tmp_path: Path, encode: Encode, picture: Encode
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    assert encode(pixels) == (folder / "cat" / "00.png").read_bytes()
    (folder / "dog" / "copy.png").write_bytes(encode(pixels, compress_level=0))
    manifest = run(IngestImageOptions(source=str(folder)), tmp_path / "examples")
    assert manifest.duplicates == 1
    assert sum(info.rows for info in manifest.splits.values()) == 40


def test_a_broken_image_among_good_ones_is_kept_with_the_reason(
    folder: Path, tmp_path: Path, rows: Rows, picture: Encode
) -> None:
    (folder / "cat" / "cut.png").write_bytes(picture(77)[:-40])
    (folder / "cat" / "page.png").write_bytes(b"<html>not found</html>")
    (folder / "dog" / "empty.jpg").write_bytes(b"")
    manifest = run(IngestImageOptions(source=str(folder)), tmp_path / "examples")
    assert sum(info.rows for info in manifest.splits.values()) == 43
    broken = {row["document_id"]: row for row in rows(tmp_path / "examples") if row["problem"]}
    assert set(broken) == {"cat/cut.png", "cat/page.png", "dog/empty.jpg"}
    assert "truncated" in broken["cat/cut.png"]["problem"]
    assert broken["cat/page.png"]["problem"] == "neither a PNG nor a JPEG file"
    assert broken["dog/empty.jpg"]["problem"] == "an empty file"
    for row in broken.values():
        assert row["channels"] == 0
        assert row["brightness"] is None
    assert broken["cat/page.png"]["image"] == b"<html>not found</html>"


def test_where_no_image_can_be_decoded_the_first_reason_is_told(
    tmp_path: Path, picture: Encode
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cut.png").write_bytes(picture(1)[:60])
    with pytest.raises(DataError, match=r"1 files, none of which is decoded; a/cut.png: .*trunc"):
        run(IngestImageOptions(source=str(tmp_path), label_column=""), tmp_path / "examples")
    assert not Examples(tmp_path / "examples").manifest_path.exists()


DECODES = """
import pathlib, resource, sys
from components.ingest.image.ingest import run
from components.ingest.image.options import IngestImageOptions
import numpy, pyarrow.parquet, PIL.PngImagePlugin, PIL.JpegImagePlugin
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(IngestImageOptions(source=sys.argv[1]), pathlib.Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_an_image_of_twenty_thousand_pixels_a_side_is_refused_by_its_header(
    folder: Path, tmp_path: Path, rows: Rows, encode: Encode
) -> None:
    """Decoded, it would take 400 MB."""
    huge = encode(np.zeros((20_000, 20_000), np.uint8), compress_level=1)
    (folder / "cat" / "huge.png").write_bytes(huge)
    told = subprocess.run(
        [sys.executable, "-c", DECODES, str(folder), str(tmp_path / "examples")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(told.stdout.splitlines()[-1]) < 150
    (row,) = (row for row in rows(tmp_path / "examples") if row["problem"])
    assert (row["document_id"], row["width"], row["height"]) == ("cat/huge.png", 20_000, 20_000)
    assert "20000 x 20000 pixels, more than ingest.max_pixels (16,777,216)" in row["problem"]


def test_a_long_strip_of_twenty_thousand_pixels_is_refused_too(
    tmp_path: Path, encode: Encode
) -> None:
    (tmp_path / "wide.png").write_bytes(encode(np.zeros((2, 20_000), np.uint8)))
    with pytest.raises(DataError, match=r"none of which is decoded; wide.png: 20000 x 2 pixels"):
        run(IngestImageOptions(source=str(tmp_path)), tmp_path / "examples")


def test_a_folder_with_one_class_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.unlink()
    message = (
        r"at least two classes. Received: one, 'cat', with all 20 images; .*label_column to ''"
    )
    with pytest.raises(DataError, match=message):
        run(IngestImageOptions(source=str(folder)), tmp_path / "examples")
    options = IngestImageOptions(source=str(folder), label_column="")
    assert run(options, tmp_path / "examples").details == {"labels": [""]}


def test_images_beside_the_folders_of_classes_are_named(
    folder: Path, tmp_path: Path, picture: Encode
) -> None:
    (folder / "loose.png").write_bytes(picture(99))
    with pytest.raises(DataError, match=r"1 of 41 beside the subfolders, such as 'loose.png'"):
        run(IngestImageOptions(source=str(folder)), tmp_path / "examples")


def test_a_csv_names_images_classes_and_times(folder: Path, tmp_path: Path, rows: Rows) -> None:
    lines = ["file,kind,made"]
    for number in range(40):
        name = f"cat/{number:02d}.png" if number % 2 == 0 else f"dog/{number:02d}.JPG"
        lines.append(f"{name},{'ab'[number % 2]},{2000 + number // 2}")
    lines.append("cat/gone.png,a,2001")
    (folder / "list.csv").write_text("\n".join(lines))
    options = IngestImageOptions(
        source=str(folder / "list.csv"),
        image_column="file",
        label_column="kind",
        time_column="made",
        reference_to="2009",
        current_from="2010",
        current_to="2012",
    )
    manifest = run(options, tmp_path / "examples")
    assert manifest.details == {"labels": ["a", "b"]}
    assert manifest.splits["current"].rows == 6
    assert manifest.splits["current"].first_time == "2010-01-01T00:00:00+00:00"
    assert manifest.splits["train"].rows + manifest.splits["eval"].rows == 20 + 1
    (missing,) = (row for row in rows(tmp_path / "examples") if row["problem"])
    assert missing["problem"] == "cannot be read: No such file or directory"


def test_the_images_that_a_csv_names_are_part_of_its_snapshot(
    folder: Path, tmp_path: Path, picture: Encode
) -> None:
    (folder / "list.csv").write_text("image,label\ncat/00.png,a\ndog/01.JPG,b\ncat/02.png,a\n")
    options = IngestImageOptions(source=str(folder / "list.csv"))
    before = run(options, tmp_path / "examples").snapshot_digest
    (folder / "cat" / "00.png").write_bytes(picture(123))
    assert run(options, tmp_path / "examples").snapshot_digest != before


@pytest.mark.parametrize("hub", [False, True])
def test_parquet_holds_images_as_bytes_or_as_dataset_hubs_write_them(
    tmp_path: Path, rows: Rows, picture: Encode, hub: bool
) -> None:
    files = [picture(number) for number in range(30)]
    table = pa.table({"image": files, "label": [("x", "y")[n % 2] for n in range(30)]})
    if hub:
        images = [{"bytes": file, "path": None} for file in files]
        table = pa.table({"image": images, "label": [n % 2 for n in range(30)]})
        names = b'{"info": {"features": {"label": {"names": ["x", "y"]}}}}'
        table = table.replace_schema_metadata({b"huggingface": names})
    pq.write_table(table, tmp_path / "images.parquet")
    manifest = run(IngestImageOptions(source=str(tmp_path / "images.parquet")), tmp_path / "out")
    assert manifest.details == {"labels": ["x", "y"]}
    by_name = {row["document_id"]: row for row in rows(tmp_path / "out")}
    assert by_name["images.parquet:7"]["image"] == files[7]
    assert by_name["images.parquet:7"]["label"] == "y"


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"picture": [b"x"], "label": ["a"]}, {}, r"the column 'image' .*Received: picture, label"),
        ({"image": ["a.png"], "label": ["a"]}, {}, r"bytes of image files .*Received: string"),
        ({"image": [b"x"], "label": [0.5]}, {}, r"class as text .* row 0. Received: float"),
        (
            {"image": [b"x"], "label": ["a"], "at": ["soon"]},
            {"time_column": "at"},
            r"ISO 8601 time in 'at' .*Received: 'soon'",
        ),
    ],
)
def test_parquet_of_another_form_is_one_clear_line(
    tmp_path: Path, table: dict[str, list[Any]], options: dict[str, str], message: str
) -> None:
    path = tmp_path / "images.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=message):
        run(IngestImageOptions(source=str(path), **options), tmp_path / "out")


def test_a_class_without_an_image_for_training_gets_one(
    folder: Path, tmp_path: Path, picture: Encode, rows: Rows
) -> None:
    (folder / "owl").mkdir()
    held_out = 0
    for number in range(1000, 1008):
        (folder / "owl" / "only.png").write_bytes(picture(number))
        options = IngestImageOptions(source=str(folder), eval_percent=50)
        manifest = run(options, tmp_path / "examples")
        assert manifest.details == {"labels": ["cat", "dog", "owl"]}
        (only,) = (row for row in rows(tmp_path / "examples") if row["label"] == "owl")
        assert only["split"] == "train"
        held_out += rank(only["example_id"]) % 100 < 50
    assert 0 < held_out < 8, "the digest alone would have held some of them out"


def test_two_images_are_enough_for_both_splits(tmp_path: Path, picture: Encode) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    manifest = run(IngestImageOptions(source=str(tmp_path)), tmp_path / "examples")
    assert [manifest.splits[name].rows for name in ("train", "eval")] == [1, 1]


def test_rows_are_limited_by_digest_and_not_by_place(folder: Path, tmp_path: Path) -> None:
    options = IngestImageOptions(source=str(folder), max_rows=12)
    manifest = run(options, tmp_path / "examples")
    assert sum(info.rows for info in manifest.splits.values()) == 12
    assert manifest.details == {"labels": ["cat", "dog"]}
    names = {
        row["document_id"]
        for split in ("train", "eval")
        for batch in Examples(tmp_path / "examples").batches(split)
        for row in batch.to_pylist()
    }
    assert names != {
        path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.*"))[:12]
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/at/all", r"a folder of .png, .jpg, .jpeg files, or .csv or .parquet"),
        ("fashion-mnist:x", r"nothing after 'fashion-mnist:'. Received: 'x'"),
        ("emoji:7", r"a side of 8 to 128 pixels. Received: '7'"),
        ("ftp:images", r"ingest.source: expected a path or one of .*Received: 'ftp:images'"),
    ],
)
def test_an_unknown_source_is_one_clear_line(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        run(IngestImageOptions(source=source), tmp_path / "examples")


def test_an_era_without_times_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="time_column must name the column"):
        IngestImageOptions(source="photos", reference_to="2015")
    IngestImageOptions(source="emoji:", reference_to=datetime.date(2015, 1, 1))


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, encode: Encode) -> None:
    """Files of 210 MB altogether, which are never in memory together."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (720, 720, 3), np.uint8)
    for number in range(140):
        noise[0, 0] = number
        (tmp_path / f"{number}.png").write_bytes(encode(noise, compress_level=0))
    told = subprocess.run(
        [sys.executable, "-c", DECODES, str(tmp_path), str(tmp_path / "examples")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(told.stdout.splitlines()[-1]) < 170
