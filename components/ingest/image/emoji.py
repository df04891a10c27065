"""`emoji:`, pictures of all emoji in colour, rendered from an installed font, each with its date.

The class is the group of Unicode's list, the time that of the release which added the emoji, so
the world truly moves on: later releases hold people in all skin tones, where the first held faces
and objects.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ConfigError, DataError
from components.ingest.image.pictures import Part, Picture, slices

if TYPE_CHECKING:
    from PIL.Image import Image

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")

# When each release of Unicode Emoji appeared. 0.6 and 0.7 are Unicode 6.0 and 7.0.
RELEASES = {
    "0.6": (2010, 10, 11),
    "0.7": (2014, 6, 16),
    "1.0": (2015, 6, 9),
    "2.0": (2015, 11, 12),
    "3.0": (2016, 6, 3),
    "4.0": (2016, 11, 22),
    "5.0": (2017, 3, 27),
    "11.0": (2018, 5, 21),
    "12.0": (2019, 3, 5),
    "12.1": (2019, 10, 21),
    "13.0": (2020, 3, 10),
    "13.1": (2020, 9, 15),
    "14.0": (2021, 9, 14),
    "15.0": (2022, 9, 13),
    "15.1": (2023, 9, 12),
    "16.0": (2024, 9, 10),
}

# The font holds bitmaps of this size only.
_FONT_SIZE = 109
_DEFAULT_SIDE = 32
_LINE = re.compile(
    r"^(?P<points>[0-9A-F ]+?)\s*;\s*fully-qualified\s*"
    r"#\s*\S+\s+E(?P<release>\d+\.\d+)\s+(?P<name>.+)$"
)
_GROUP = re.compile(r"^# group: (.+)$")
_DATE = re.compile(r"^# Date: (\d{4})-(\d{2})-(\d{2})")
_INSTALL = "install the Debian packages fonts-noto-color-emoji and unicode-data"


class Emoji:
    """All fully qualified emoji of Unicode's list, on white."""

    def __init__(self, location: str, font: Path = FONT, listed: Path = LIST) -> None:
        """Checks that everything is there.

        Args:
            location: what stands after the colon: nothing, or the side in pixels.
            font: Noto Color Emoji, with bitmaps.
            listed: Unicode's emoji-test.txt.

        Raises:
            ConfigError: the side is not a number of 8 to 128.
            DataError: the font or the list is not installed, or Pillow cannot join the parts of
                an emoji.
        """
        if location and not (location.isdecimal() and 8 <= int(location) <= 128):
            raise ConfigError(
                "expected 'emoji:' or 'emoji:SIDE' with a side of 8 to 128 pixels. "
                f"Received: {location!r}"
            )
        self._side = int(location or _DEFAULT_SIDE)
        self._font, self._list = font, listed
        for path in (font, listed):
            if not path.is_file():
                raise DataError(f"expected {path}. Received: no such file; {_INSTALL}")
        from PIL import features

        if not features.check("raqm"):
            raise DataError(
                "expected Pillow with Raqm, which joins the parts of an emoji. Received: Pillow "
                "without it; install the Debian package libfribidi0"
            )

    def files(self) -> dict[str, Path]:
        return {"emoji-test.txt": self._list, "NotoColorEmoji.ttf": self._font}

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        font = _load(self._font)
        group = ""
        newest = dt.datetime.max.replace(tzinfo=dt.UTC)
        for line in self._list.read_text("utf-8").splitlines():
            if date := _DATE.match(line):
                year, month, day = map(int, date.groups())
                newest = dt.datetime(year, month, day, tzinfo=dt.UTC)
            elif heading := _GROUP.match(line):
                group = heading[1].strip()
            elif entry := _LINE.match(line):
                text = "".join(chr(int(point, 16)) for point in entry["points"].split())
                yield Picture(
                    f"{entry['points'].replace(' ', '-')} {entry['name']}",
                    partial(_render, font, text, self._side),
                    group if label_column else "",
                    _released(entry["release"], newest),
                )

    def parts(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Sequence[Part]:
        return slices(self, image_column, label_column, time_column, provenance_column)


def _released(release: str, newest: dt.datetime) -> dt.datetime:
    """When a release appeared; one that is not known here is as new as the list itself."""
    if release not in RELEASES:
        return newest
    return dt.datetime(*RELEASES[release], tzinfo=dt.UTC)


def _load(path: Path) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.RAQM)
    except OSError as error:
        raise DataError(
            f"expected a font with bitmaps of {_FONT_SIZE} pixels at {path}. "
            f"Received: {error}; {_INSTALL}"
        ) from None


def _render(font: Any, text: str, side: int) -> bytes:
    """Draws an emoji as the PNG of a square."""
    buffer = io.BytesIO()
    draw(font, text, side).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def draw(font: Any, text: str, side: int) -> Image:
    """Draws an emoji in the middle of a white square, as large as it fits."""
    from PIL import Image, ImageDraw

    left, top, right, bottom = font.getbbox(text)
    width, height = int(right - left), int(bottom - top)
    canvas = Image.new("RGB", (max(width, height),) * 2, "white")
    corner = ((canvas.width - width) // 2 - left, (canvas.height - height) // 2 - top)
    ImageDraw.Draw(canvas).text(corner, text, font=font, embedded_color=True)
    return canvas.resize((side, side), Image.Resampling.BOX)
