"""Reads the images of both sides of a comparison, small and in one shape."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts import Examples
from components.drift.choosing import smallest
from components.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_BATCH_ROWS = 256
# Photographs are larger than what a model draws; they are measured at its size, or at most this.
_LONGEST_SIDE = 128


@dataclasses.dataclass(frozen=True)
class Shape:
    """What images are brought to: height, width, and 1 or 3 channels."""

    height: int
    width: int
    channels: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """Images of a side.

    Attributes:
        keys: the digests that order them.
        files: as they are encoded.
        labels: their classes.
        times: their dates, '' where unknown.
        sizes: width and height before they were brought to a shape.
        pixels: uint8 [images, height, width, channels].
    """

    keys: Sequence[str]
    files: Sequence[bytes]
    labels: Sequence[str]
    times: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    pixels: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Of a row that is compared: its class, and its date, '' where unknown."""

    label: str
    time: str


def chosen_rows(examples: Examples, split: str, most: int) -> dict[str, Chosen]:
    """Example ids, in order, with what is known of them: the `most` smallest of a split.

    The images themselves are not read.
    """
    table = smallest(examples, split, most, ["label", "event_time"])
    if not table.num_rows:
        return {}
    keys, labels = (table.column(name).to_pylist() for name in ("example_id", "label"))
    times = [None] * len(keys)
    if "event_time" in table.column_names:
        times = table.column("event_time").to_pylist()
    return {
        key: Chosen(label or "", time.date().isoformat() if time else "")
        for key, label, time in zip(keys, labels, times, strict=True)
    }


def stream(
    examples: Examples, split: str, wanted: dict[str, Chosen], shape: Shape
) -> Iterator[Batch]:
    """Reads chosen rows of a split, a batch of them in memory at a time.

    Raises:
        DataError: an image cannot be decoded.
    """
    columns = ["example_id", "image"]
    for batch in examples.batches(split, columns=columns, batch_size=_BATCH_ROWS):
        keys = batch.column("example_id").to_pylist()
        taken = [place for place, key in enumerate(keys) if key in wanted]
        if taken:
            files = batch.column("image").take(taken).to_pylist()
            chosen = [wanted[keys[place]] for place in taken]
            yield _batch(
                [keys[place] for place in taken],
                files,
                [one.label for one in chosen],
                [one.time for one in chosen],
                shape,
            )


def read_samples(path: Path) -> tuple[list[bytes], list[str]]:
    """The generated images of an evaluation and their classes.

    Raises:
        DataError: there are none.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"expected generated samples at {path}. Received: no such file")
    rows = pq.read_table(path, columns=["image", "label"])
    if not rows.num_rows:
        raise DataError(f"expected generated samples at {path}. Received: an empty table")
    labels = [label or "" for label in rows.column("label").to_pylist()]
    return rows.column("image").to_pylist(), labels


def sample_batches(files: list[bytes], labels: list[str], shape: Shape) -> Iterator[Batch]:
    """Generated images in batches."""
    for start in range(0, len(files), _BATCH_ROWS):
        part = slice(start, start + _BATCH_ROWS)
        keys = [f"{place:08d}" for place in range(start, start + len(files[part]))]
        yield _batch(keys, files[part], labels[part], [""] * len(keys), shape)


def shape_of(file: bytes) -> Shape:
    """The shape of a generated image, which is also what the model makes of real ones."""
    image = _open(file, "a sample")
    longest = max(image.size)
    scale = min(1.0, _LONGEST_SIDE / longest)
    width, height = (max(3, round(side * scale)) for side in image.size)
    return Shape(height, width, 1 if image.mode in ("L", "1", "I;16") else 3)


def _batch(
    keys: Sequence[str],
    files: Sequence[bytes],
    labels: Sequence[str],
    times: Sequence[str],
    shape: Shape,
) -> Batch:
    import numpy as np
    from PIL.Image import Resampling

    mode = "L" if shape.channels == 1 else "RGB"
    sizes, pixels = [], []
    for key, file in zip(keys, files, strict=True):
        image = _open(file, key)
        sizes.append(image.size)
        flat = _on_white(image).convert(mode)
        if flat.size != (shape.width, shape.height):
            flat = flat.resize((shape.width, shape.height), Resampling.BILINEAR)
        pixels.append(np.asarray(flat, np.uint8).reshape(shape.height, shape.width, -1))
    return Batch(keys, files, labels, times, sizes, np.stack(pixels))


def _open(file: bytes, key: str) -> Image:
    import PIL.Image

    try:
        image = PIL.Image.open(io.BytesIO(file), formats=("PNG", "JPEG"))
        image.load()
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DataError(
            f"expected PNG or JPEG images. Received: {key}, which cannot be decoded ({error})"
        ) from None
    return image


def _on_white(image: Image) -> Image:
    """Lays what is transparent on white, as the transform does."""
    import PIL.Image

    if image.mode not in ("LA", "RGBA", "PA") and "transparency" not in image.info:
        return image
    clear = image.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", clear.size, "white"), clear)
