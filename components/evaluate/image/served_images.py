"""A model of images as a server sees it: the exported SavedModel, called through `generate`."""

from __future__ import annotations

import dataclasses
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.errors import ModelError
from components.evaluate.image.pictures import decode

_BATCH = 64
_SECONDS_BETWEEN_LINES = 1.0


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Generated images and how fast they came.

    Attributes:
        files: PNG bytes.
        images: uint8 [rows, height, width, channels].
        labels: the class of each, as the model says.
        seeds: of each.
        seconds: wall time of all calls but the first, which traces and warms.
        timed: how many images these calls gave.
    """

    files: list[bytes]
    images: npt.NDArray[np.uint8]
    labels: list[str]
    seeds: list[int]
    seconds: float
    timed: int


class ServedImages:
    """A loaded SavedModel with the signature `generate(label, seed, ...) -> image, label`."""

    def __init__(self, path: Path) -> None:
        """Loads the SavedModel at `path`.

        Raises:
            ModelError: there is none, it cannot be loaded, or it does not draw images.
        """
        import tensorflow as tf

        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"expected a SavedModel at {path}. Received: no saved_model.pb there")
        try:
            self._loaded: Any = tf.saved_model.load(str(path))
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"expected a readable SavedModel at {path}. Received: {error}"
            ) from None
        generate = self._loaded.signatures.get("generate")
        inputs = generate.structured_input_signature[1] if generate else {}
        if not {"label", "seed"} <= set(inputs):
            raise ModelError(
                f"expected a signature generate(label, seed, ...) in the SavedModel at {path}. "
                f"Received: {', '.join(sorted(self._loaded.signatures)) or 'none'}"
            )
        self._generate = generate
        # NaN leaves each of the family's own parameters to the family.
        self._others = {
            name: tf.constant([np.nan], spec.dtype)
            for name, spec in inputs.items()
            if name not in ("label", "seed")
        }
        asset = path / "assets" / "labels.json"
        self.labels: list[str] = json.loads(asset.read_text("utf-8")) if asset.is_file() else []

    def draw(self, labels: Sequence[str], name: str = "draw") -> Drawn:
        """Draws an image for each label, with the seeds 1, 2, and so on.

        Args:
            labels: of the classes; empty for any.
            name: what lines of progress call it.

        Raises:
            ModelError: the model refuses.
        """
        from PIL import Image

        seeds = list(range(1, len(labels) + 1))
        files: list[bytes] = []
        said: list[str] = []
        seconds, timed, last_line = 0.0, 0, time.monotonic()
        for start in range(0, len(labels), _BATCH):
            rows = slice(start, start + _BATCH)
            begun = time.perf_counter()
            images, told = self._call(labels[rows], seeds[rows])
            if start:
                seconds, timed = seconds + time.perf_counter() - begun, timed + len(images)
            files += images.tolist()
            said += [label.decode() for label in told]
            if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                print(f"progress: {name} {len(files)}/{len(labels)} images", flush=True)
        with Image.open(io.BytesIO(files[0])) as first:
            channels = 1 if first.mode == "L" else 3
            shape = (first.height, first.width, channels)
        return Drawn(files, decode(files, shape), said, seeds, seconds, timed)

    def one(self, seed: int) -> None:
        """Answers one request: an image of any class.

        Raises:
            ModelError: the model refuses.
        """
        self._call([""], [seed])

    def _call(self, labels: Sequence[str], seeds: Sequence[int]) -> tuple[Any, Any]:
        """Files and labels of one call."""
        import tensorflow as tf

        try:
            found = self._generate(
                label=tf.constant([label.encode() for label in labels]),
                seed=tf.constant(list(seeds), tf.int64),
                **self._others,
            )
            return found["image"].numpy(), found["label"].numpy()
        except tf.errors.OpError as error:
            # What the model says itself, without the graph's trace around it.
            told = " ".join(error.message.rpartition("assertion failed: ")[2].split())[:300]
            raise ModelError(f"expected images from the model. Received: {told}") from None
