"""The small encoder writes what every decoder reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.ingest.image.png import encode_grey


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (3, 17)])
def test_a_picture_comes_back_pixel_by_pixel(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = Image.open(io.BytesIO(encode_grey(pixels)))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), pixels)
