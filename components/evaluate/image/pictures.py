"""Images as arrays: read from examples, brought to one shape, laid out for a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
_THUMBNAIL = 14


def decode(encoded: Iterable[bytes], shape: tuple[int, ...]) -> Images:
    """Decodes PNG or JPEG files and resizes them, with antialiasing.

    Args:
        encoded: files.
        shape: height, width and channels (1 or 3) of the result.

    Returns:
        uint8 [rows, height, width, channels].
    """
    from PIL import Image

    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    found = []
    for content in encoded:
        with Image.open(io.BytesIO(content)) as opened:
            image = _eight_bits(opened)
            if image.mode == "RGBA":
                # Where an image is transparent, a page would show white.
                ground = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(ground, image)
            image = image.convert(mode)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            found.append(np.asarray(image).reshape(shape))
    return np.stack(found) if found else np.zeros((0, *shape), np.uint8)


def _eight_bits(opened: Any) -> Any:
    """Grey or colour of 8 bits, with alpha where it may have any."""
    if opened.mode.startswith("I"):  # 16 bits of grey, which a conversion would clip.
        return opened.point(lambda level: level / 256).convert("L")
    return opened if opened.mode in ("L", "RGB") else opened.convert("RGBA")


def thumbnails(images: Images) -> npt.NDArray[np.float32]:
    """Small copies as vectors, float32 [rows, values] of 0..1: what one sees at a glance."""
    factor = max(1, math.ceil(images.shape[1] / _THUMBNAIL))
    height, width = (side // factor * factor for side in images.shape[1:3])
    cut = images[:, :height, :width].astype(np.float32) / 255
    blocks = cut.reshape(len(cut), height // factor, factor, width // factor, factor, -1)
    small: npt.NDArray[np.float32] = blocks.mean(axis=(2, 4)).reshape(len(cut), -1)
    return small


def data_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image as a `data:` URI of a PNG, for a page that opens offline."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encodes an image [height, width, 1 or 3]."""
    from PIL import Image

    stream = io.BytesIO()
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def sheet(rows: Sequence[Images], gap: int = 1) -> npt.NDArray[np.uint8]:
    """Rows of images as one image, a line of mid grey between them.

    Args:
        rows: each uint8 [images, height, width, channels]; shorter rows end in grey.
        gap: pixels between images.
    """
    most = max(len(row) for row in rows)
    _, height, width, channels = rows[0].shape
    size = len(rows) * (height + gap) - gap, most * (width + gap) - gap, channels
    drawn = np.full(size, 128, np.uint8)
    for place, row in enumerate(rows):
        for index, image in enumerate(row):
            top, left = place * (height + gap), index * (width + gap)
            drawn[top : top + height, left : left + width] = image
    return drawn
