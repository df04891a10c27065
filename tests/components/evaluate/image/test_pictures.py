"""Images of any kind come out in one shape, and pages show them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.evaluate.image.pictures import data_uri, decode, sheet, thumbnails


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_grey_colour_and_jpeg_come_in_the_shape_asked_for() -> None:
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    files = [
        encoded(Image.fromarray(levels)),
        encoded(Image.new("RGB", (16, 4), (9, 9, 9)), "JPEG"),
    ]
    grey = decode(files, (8, 8, 1))
    assert grey.shape == (2, 8, 8, 1)
    assert np.array_equal(grey[0, :, :, 0], levels)
    assert decode(files, (4, 4, 3)).shape == (2, 4, 4, 3)
    assert decode([], (4, 4, 3)).shape == (0, 4, 4, 3)


def test_transparency_is_white() -> None:
    clear = encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))
    assert decode([clear], (2, 2, 3)).min() == 255


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.array([[0, 65535], [32768, 256]], np.uint16))
    found = decode([encoded(deep)], (2, 2, 1))[0, :, :, 0]
    assert found.tolist() == [[0, 255], [128, 1]]


def test_images_are_prepared_as_the_transform_does() -> None:
    from components.transform.image.image_preprocessing import decode_images

    generator = np.random.default_rng(0)
    blobs = generator.integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(blobs).resize((48, 40), Image.Resampling.BICUBIC)
    mine = decode([encoded(image)], (16, 16, 3))[0].astype(float)
    theirs = (decode_images([encoded(image)], (16, 16, 3)).numpy()[0] + 1) * 127.5
    assert np.abs(mine - theirs).max() <= 2.0


def test_thumbnails_average() -> None:
    images = np.zeros((1, 28, 28, 1), np.uint8)
    images[0, :2, :2] = [[[0], [255]], [[255], [0]]]
    small = thumbnails(images)
    assert small.shape == (1, 14 * 14)
    assert small[0, 0] == pytest.approx(0.5)
    assert small[0, 1:].max() == 0


def test_a_sheet_lays_rows_out_and_opens_from_a_page() -> None:
    rows = [np.full((2, 4, 4, 1), 7, np.uint8), np.full((1, 4, 4, 1), 9, np.uint8)]
    drawn = sheet(rows)
    assert drawn.shape == (9, 9, 1)
    assert drawn[0, 0, 0] == 7
    assert drawn[5, 0, 0] == 9
    assert drawn[5, 8, 0] == 128
    head, content = data_uri(drawn).split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert np.array_equal(np.asarray(image), drawn[:, :, 0])
