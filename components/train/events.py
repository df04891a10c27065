"""TensorBoard's event files, written without TensorBoard being installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf


class Events:
    """Scalars, pictures and texts over steps, in a folder that `tensorboard --logdir` shows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds one point to each named curve."""
        for name, value in scalars.items():
            # DATA_CLASS_SCALAR of TensorBoard's summary.proto.
            self._write_tensor(step, name, tf.constant(value, tf.float32), "scalars", data_class=1)

    def write_image(self, step: int, name: str, png: bytes, width: int, height: int) -> None:
        """Adds a picture, as TensorBoard's images plugin reads it."""
        content = [str(width).encode(), str(height).encode(), png]
        # DATA_CLASS_BLOB_SEQUENCE.
        self._write_tensor(step, name, tf.constant(content), "images", data_class=3)

    def write_text(self, step: int, name: str, markdown: str) -> None:
        """Adds a text in Markdown, as TensorBoard's text plugin reads it."""
        # DATA_CLASS_TENSOR.
        self._write_tensor(step, name, tf.constant([markdown]), "text", data_class=2)

    def _write_tensor(
        self, step: int, name: str, tensor: tf.Tensor, plugin: str, data_class: int
    ) -> None:
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
        )
        metadata.data_class = data_class
        with self._writer.as_default():
            tf.summary.write(name, tensor, step, metadata)

    def close(self) -> None:
        self._writer.close()
