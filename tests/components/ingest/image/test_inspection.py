"""What an image is said to be, whatever kind of file it comes in."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from components.ingest.image.inspection import Inspection, inspect
from components.ingest.image.pictures import MOST_BYTES

Encode = Callable[..., bytes]


def _one(data: bytes | OSError) -> Inspection:
    (found,) = inspect([data], max_pixels=1 << 20, longest_side=4096)
    return found


def _saved(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "channels", "brightness"),
    [
        ("1", 1, 1.0),
        ("L", 1, 200 / 255),
        ("LA", 2, 1.0),
        ("RGB", 3, 0.299 * 200 / 255),
        ("RGBA", 4, 1.0),
        ("P", 3, 0.299 * 200 / 255),
        ("I;16", 1, 200 / 255),
    ],
)
def test_every_kind_of_png_is_understood(mode: str, channels: int, brightness: float) -> None:
    """What is transparent is white: the clear pictures are so throughout."""
    colours = {"LA": (200, 0), "RGB": (200, 0, 0), "RGBA": (200, 0, 0, 0), "1": 1, "I;16": 51_400}
    if mode == "P":
        image = Image.new("RGB", (9, 7), (200, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE)
    else:
        image = Image.new(mode, (9, 7), colours.get(mode, 200))
    found = _one(_saved(image))
    assert (found.width, found.height, found.channels) == (9, 7, channels)
    assert found.problem == ""
    assert found.brightness == pytest.approx(brightness, abs=0.004)
    assert found.contrast == pytest.approx(0, abs=1e-6)


def test_contrast_is_the_deviation_of_the_brightness(encode: Encode) -> None:
    halves = np.zeros((8, 8), np.uint8)
    halves[:, 4:] = 255
    found = _one(encode(halves))
    assert (found.brightness, found.contrast) == (pytest.approx(0.5), pytest.approx(0.5))


def test_the_id_is_that_of_the_pixels_and_their_shape(encode: Encode) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    same = [encode(pixels, compress_level=level) for level in (0, 9)]
    assert same[0] != same[1]
    assert _one(same[0]).example_id == _one(same[1]).example_id
    assert _one(encode(pixels.reshape(8, 6))).example_id != _one(same[0]).example_id


def test_near_duplicates_share_most_bits_of_the_hash_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    scenes = [
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64))
        for _ in range(20)
    ]
    near = [
        scene.filter(ImageFilter.GaussianBlur(1)).point(lambda level: level * 0.9 + 8)
        for scene in scenes
    ]

    def hashes(images: list[Image.Image], kind: str) -> list[int]:
        found = inspect([_saved(image, kind) for image in images], 1 << 20, 4096)
        return [each.perceptual_hash % (1 << 64) for each in found if each.perceptual_hash]

    before, after = hashes(scenes, "PNG"), hashes(near, "JPEG")
    assert len(before) == len(after) == 20
    assert max((one ^ two).bit_count() for one, two in zip(before, after, strict=True)) <= 6
    others = [(one ^ two).bit_count() for one in before for two in before if one != two]
    assert min(others) >= 12


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_flat_images_have_one_hash_whatever_their_brightness(encode: Encode, colour: int) -> None:
    assert _one(encode(np.full((9, 9), colour, np.uint8))).perceptual_hash == 0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "neither a PNG nor a JPEG file"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cannot be decoded"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * MOST_BYTES, "a file of more than 64 MiB; not decoded"),
        (FileNotFoundError(2, "No such file or directory"), "cannot be read: No such file"),
    ],
)
def test_what_is_no_image_is_told_and_does_not_stop_the_others(
    encode: Encode, data: bytes | OSError, problem: str
) -> None:
    good = encode(np.zeros((5, 4), np.uint8))
    one, broken, two = inspect([good, data, good], 1 << 20, 4096)
    assert problem in broken.problem
    assert (broken.width, broken.channels, broken.brightness) == (0, 0, None)
    assert one == two
    assert one.problem == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_that_is_cut_anywhere_is_never_taken_for_an_image(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = _saved(Image.fromarray(noise), kind)
    assert _one(whole).problem == ""
    cuts = inspect([whole[:size] for size in range(1, len(whole) - 20, 97)], 1 << 20, 4096)
    assert len(cuts) > 10
    assert all(cut.problem for cut in cuts)
