"""The graph decodes every kind of image as another decoder does."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.transform.image.image_preprocessing import decode_images, label_ids


def _saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _smooth(seed: int, size: tuple[int, int], mode: str = "RGBA") -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (5, 5, 4), np.uint8)
    image = Image.fromarray(values, "RGBA").resize(size, Image.Resampling.BICUBIC)
    return image.convert(mode)


def _levels(files: list[bytes], shape: tuple[int, int, int]) -> np.ndarray:
    return 127.5 * (decode_images(tf.constant(files), shape).numpy() + 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_a_png_of_the_right_size_keeps_its_pixels(mode: str, channels: int) -> None:
    image = _smooth(1, (14, 10), "RGB").convert("P") if mode == "P" else _smooth(1, (14, 10), mode)
    clear = image.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    expected = np.asarray(white.convert("L" if channels == 1 else "RGB"), float)
    found = _levels([_saved(image)], (10, 14, channels))[0]
    assert np.abs(found - expected.reshape(10, 14, channels)).max() <= 1.01


@pytest.mark.parametrize("channels", [1, 3])
def test_a_colour_that_stands_for_clear_is_white(channels: int) -> None:
    image = Image.new("RGB", (6, 6), (10, 20, 30))
    found = _levels([_saved(image, transparency=(10, 20, 30))], (6, 6, channels))
    assert np.allclose(found, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_what_another_decoder_makes_of_it(channels: int) -> None:
    data = _saved(_smooth(2, (30, 22), "RGB"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L" if channels == 1 else "RGB"))
    found = _levels([data], (22, 30, channels))[0]
    assert np.abs(found - expected.reshape(22, 30, channels)).mean() < 1


@pytest.mark.parametrize("size", [(50, 70), (9, 7), (64, 9)])
def test_sizes_change_without_aliasing(size: tuple[int, int]) -> None:
    image = _smooth(3, size, "L")
    expected = image.resize((16, 12), Image.Resampling.BILINEAR)
    found = _levels([_saved(image)], (12, 16, 1))[0, ..., 0]
    assert np.abs(found - np.asarray(expected, float)).max() < 1.5


def test_fine_stripes_become_grey() -> None:
    stripes = np.zeros((96, 96), np.uint8)
    stripes[:, ::2] = 255
    found = _levels([_saved(Image.fromarray(stripes))], (8, 8, 1))
    assert np.abs(found - 127.5).max() < 8


def test_rows_keep_their_places_whatever_kinds_are_mixed() -> None:
    images = [_smooth(seed, (8, 8), "RGB") for seed in range(6)]
    files = [
        _saved(images[0], "JPEG", quality=100, subsampling=0),
        _saved(images[1]),
        _saved(images[2].convert("RGBA")),
        _saved(images[3].resize((8, 8))),
        _saved(images[4], "JPEG", quality=100, subsampling=0),
        _saved(images[5].resize((16, 16), Image.Resampling.NEAREST)),
    ]
    found = _levels(files, (8, 8, 3))
    alone = np.concatenate([_levels([file], (8, 8, 3)) for file in files])
    assert np.allclose(found, alone, atol=0.01)
    for place in range(5):
        assert np.abs(found[place] - np.asarray(images[place], float)).mean() < 3


def test_no_row_at_all_is_no_error() -> None:
    assert decode_images(tf.zeros([0], tf.string), (8, 8, 3)).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("data", [b"", b"GIF89a....", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_an_error(data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_images(tf.constant([data]), (8, 8, 3))


def test_labels_become_places_among_the_classes() -> None:
    labels = tf.constant(["b", "", "a", "unheard of", "b"])
    assert label_ids(labels, ["a", "b"]).numpy().tolist() == [1, -1, 0, -1, 1]
    assert label_ids(labels, ["", "a"]).numpy().tolist() == [-1, 0, 1, -1, -1]


def test_the_graph_holds_stock_operations_only() -> None:
    function = tf.function(lambda files: decode_images(files, (8, 8, 3)))
    graph = function.get_concrete_function(tf.TensorSpec([None], tf.string)).graph.as_graph_def()
    names = {node.op for node in graph.node}
    names |= {node.op for each in graph.library.function for node in each.node_def}
    assert "DecodePng" in names
    assert not [name for name in names if name.startswith(("Xla", "PyFunc", "EagerPyFunc"))]
