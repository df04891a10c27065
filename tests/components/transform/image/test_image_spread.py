"""On another Beam runner the images' arrays are the same, and what is broken is told as here."""

from __future__ import annotations

from typing import Any

from components.transform.image.options import TransformImageOptions
from components.transform.image.transform import run


def test_another_runner_writes_the_same_images(step: Any, prism: Any, equal_on: Any) -> None:
    equal_on(run, TransformImageOptions(height=16, width=12, channels=3, **prism), step)
