"""What the model gives while it trains: a grid of images, or a few rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.events import Events
from components.train.families.family import Family, ImageFamily, TableFamily

IMAGES_OF_A_LABEL = 6
_MOST_LABELS = 12
_ROWS = 8
_SMALL = 64


class Previews:
    """Writes a preview of each chosen step as a file and into TensorBoard.

    Args:
        family: whose samples.
        statistics: what the transform step wrote of the data.
        folder: gets `step-000500.png` or `step-000500.md`.
        events: where TensorBoard looks.
    """

    def __init__(
        self, family: Family, statistics: Mapping[str, Any], folder: Path, events: Events
    ) -> None:
        self._family, self._statistics = family, statistics
        self._folder, self._events = folder, events
        self._sample = tf.function(self._draw, autograph=False)

    def write(self, step: int) -> None:
        """Draws from the weights as they are now, with the same seeds each time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step-{step:06d}"
        if isinstance(self._family, ImageFamily):
            image = grid(self._sample().numpy(), IMAGES_OF_A_LABEL)
            png = tf.io.encode_png(image).numpy()
            path.with_suffix(".png").write_bytes(png)
            self._events.write_image(step, "samples", png, image.shape[1], image.shape[0])
        else:
            codes, values = (tensor.numpy() for tensor in self._sample())
            text = rows_as_markdown(codes, values, self._statistics)
            path.with_suffix(".md").write_text(text, "utf-8")
            self._events.write_text(step, "samples", text)

    def _draw(self) -> Any:
        if isinstance(self._family, ImageFamily):
            labels = max(1, min(_MOST_LABELS, len(self._statistics["labels"])))
            label = tf.repeat(tf.range(labels), IMAGES_OF_A_LABEL)
            seed = tf.range(tf.size(label, out_type=tf.int64))
            given = {
                name: tf.fill(tf.shape(label), default)
                for name, (default, _, _) in self._family.parameters().items()
            }
            return self._family.sample(label, seed, **given)
        assert isinstance(self._family, TableFamily)
        columns = len(self._statistics["columns"])
        numbers = sum(column["value"] is not None for column in self._statistics["columns"])
        return self._family.sample(
            tf.zeros([_ROWS, columns], tf.bool),
            tf.zeros([_ROWS, columns], tf.int32),
            tf.zeros([_ROWS, numbers], tf.float32),
            tf.range(_ROWS, dtype=tf.int64),
            tf.ones([_ROWS]),
        )


def grid(images: npt.NDArray[np.float32], in_a_row: int) -> npt.NDArray[np.uint8]:
    """Lays images [N, height, width, channels] of -1..1 in rows; small ones at double size."""
    _, height, width, channels = images.shape
    pixels = np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)
    cells = pixels.reshape(-1, in_a_row, height, width, channels)
    picture = cells.transpose(0, 2, 1, 3, 4).reshape(-1, in_a_row * width, channels)
    scale = 2 if height <= _SMALL else 1
    return np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)


def rows_as_markdown(
    codes: npt.NDArray[np.int32], values: npt.NDArray[np.float32], statistics: Mapping[str, Any]
) -> str:
    """Rows as a table of Markdown, a missing value as an empty cell."""
    from components.table_layout import TableLayout

    table = TableLayout.from_json(dict(statistics)).decode(codes, values)
    lines = [table.column_names, ["---"] * table.num_columns]
    for row in table.to_pylist():
        lines.append(["" if cell is None else str(cell) for cell in row.values()])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
