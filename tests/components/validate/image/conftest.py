"""Folders of pictures as examples."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.ingest.image.ingest import run as ingest
from components.ingest.image.options import IngestImageOptions


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    """The PNG of a scene that depends on a number alone."""

    def make(number: int) -> bytes:
        scene = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(scene).resize((24, 24), Image.Resampling.BICUBIC).save(stream, "PNG")
        return stream.getvalue()

    return make


@pytest.fixture
def ingested(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """Writes files and ingests them."""

    def write(files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        ingest(IngestImageOptions(source=str(tmp_path / "source")), tmp_path / "examples")
        return tmp_path / "examples"

    return write
