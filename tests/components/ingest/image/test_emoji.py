"""Emoji are drawn from the installed font, each with its group and the date of its release."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.errors import DataError
from components.ingest.image.emoji import FONT, LIST, Emoji
from components.ingest.image.ingest import run
from components.ingest.image.options import IngestImageOptions

needs_packages = pytest.mark.skipif(
    not (FONT.is_file() and LIST.is_file()),
    reason="needs the Debian packages fonts-noto-color-emoji and unicode-data",
)


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@needs_packages
def test_all_emoji_are_there_with_their_groups_and_dates() -> None:
    found = list(Emoji("").pictures("", "label", ""))
    assert len(found) >= 3655
    by_name = {each.document_id.partition(" ")[2]: each for each in found}
    face = by_name["grinning face"]
    assert (face.label, face.event_time) == (
        "Smileys & Emotion",
        dt.datetime(2015, 6, 9, tzinfo=dt.UTC),
    )
    assert by_name["pushpin"].event_time == dt.datetime(2010, 10, 11, tzinfo=dt.UTC)
    assert by_name["flag: Japan"].label == "Flags"
    assert len({each.label for each in found}) == 9
    assert len({each.document_id for each in found}) == len(found)


@needs_packages
def test_they_are_drawn_in_colour_and_their_parts_are_joined() -> None:
    by_name = {
        each.document_id.partition(" ")[2]: each for each in Emoji("").pictures("", "label", "")
    }
    heart = _pixels(by_name["red heart"].read())
    assert heart.shape == (32, 32, 3)
    red, green, blue = heart[16, 16]
    assert red > 180
    assert max(green, blue) < 90
    assert (heart[0, 0] == 255).all()
    # Of separate glyphs, each would be half as wide.
    family = _pixels(by_name["couple with heart: woman, man"].read())
    used = np.flatnonzero((family < 250).any(axis=(1, 2)))
    assert used[-1] - used[0] > 24
    light, dark = (
        _pixels(by_name[f"thumbs up: {tone} skin tone"].read()).mean() for tone in ("light", "dark")
    )
    assert light > dark + 10


@needs_packages
def test_the_side_can_be_chosen() -> None:
    first = next(Emoji("64").pictures("", "label", ""))
    assert _pixels(first.read()).shape == (64, 64, 3)


@needs_packages
def test_later_releases_become_the_current_era(tmp_path: Path) -> None:
    options = IngestImageOptions(
        source="emoji:16", max_rows=400, reference_to="2015", current_from="2020"
    )
    manifest = run(options, tmp_path / "examples")
    assert manifest.splits["train"].last_time == "2015-11-12T00:00:00+00:00"
    assert str(manifest.splits["current"].first_time) >= "2020-03-10"
    assert sum(info.rows for info in manifest.splits.values()) >= 395


@needs_packages
def test_a_release_that_is_not_known_is_as_new_as_the_list(tmp_path: Path) -> None:
    listed = tmp_path / "emoji-test.txt"
    listed.write_text(
        "# Date: 2031-09-01, 20:24:39 GMT\n# group: Objects\n"
        "1F4CC ; fully-qualified # 📌 E99.0 pushpin\n1F4CD ; unqualified # 📍 E0.6 round pushpin\n"
    )
    (only,) = Emoji("", listed=listed).pictures("", "label", "")
    assert only.event_time == dt.datetime(2031, 9, 1, tzinfo=dt.UTC)


def test_a_missing_font_names_the_packages(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; install the Debian packages fonts-noto"):
        Emoji("", font=tmp_path / "no.ttf")
