"""PNG files are compared by their pixels: one level apart is equal, two are not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from components.serving_check.comparison import SignatureVerdict, compare
from components.serving_check.worker import encode

REQUESTS = [{"signature": "generate", "inputs": {}}]


def answer(*pictures: np.ndarray[Any, Any] | bytes) -> dict[str, Any]:
    files = []
    for picture in pictures:
        stream = io.BytesIO()
        if not isinstance(picture, bytes):
            Image.fromarray(picture).save(stream, "PNG")
        files.append(picture if isinstance(picture, bytes) else stream.getvalue())
    outputs = {"image": encode(np.array(files, object))}
    return {"answers": [{"outputs": outputs, "seconds": 0.1, "concurrent": []}]}


def judge(expected: dict[str, Any], found: dict[str, Any]) -> SignatureVerdict:
    return compare(REQUESTS, expected, found)["generate"]


def test_one_level_is_equal_and_two_differ() -> None:
    picture = np.full((4, 4), 100, np.uint8)
    near, far = picture.copy(), picture.copy()
    near[1, 2] += 1
    far[1, 2] -= 2
    verdict = judge(answer(picture, picture), answer(picture, near))
    assert verdict.verdict == "equal"
    assert verdict.largest_difference == 1 / 255
    verdict = judge(answer(picture, picture), answer(picture, far))
    assert verdict.verdict == "differs"
    assert verdict.reason == "image 1 is 2 of 255 levels away at a pixel"


def test_another_size_or_another_kind_of_bytes_differs() -> None:
    small, large = np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)
    assert judge(answer(small), answer(large)).reason.startswith("image is (4, 5) pixels")
    assert judge(answer(small), answer(b"no picture")).verdict == "differs"
