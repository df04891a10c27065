"""Small images as files, and what they look like once they are examples."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.artifacts import SPLITS, Examples

Encode = Callable[..., bytes]


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def encode() -> Encode:
    return encoded


@pytest.fixture
def picture() -> Encode:
    """The PNG of noise that depends on a number alone."""

    def make(number: int, size: tuple[int, ...] = (12, 10, 3), kind: str = "PNG") -> bytes:
        pixels = np.random.default_rng(number).integers(0, 256, size, np.uint8)
        return encoded(pixels, kind)

    return make


@pytest.fixture
def folder(tmp_path: Path, picture: Encode) -> Path:
    """Forty images of two classes, one of them JPEG."""
    root = tmp_path / "photos"
    for number in range(40):
        label, kind = (("cat", "PNG"), ("dog", "JPEG"))[number % 2]
        path = root / label / f"{number:02d}.{'png' if kind == 'PNG' else 'JPG'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, kind=kind))
    return root


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """All rows of examples, each with its split."""

    def read(path: Path) -> list[dict[str, Any]]:
        examples = Examples(path)
        return [
            {**row, "split": split}
            for split in SPLITS
            for batch in examples.batches(split)
            for row in batch.to_pylist()
        ]

    return read
