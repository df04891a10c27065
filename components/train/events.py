"""TensorBoard's event files, written without TensorBoard being installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf


class Events:
    """Scalars over steps, in a folder that `tensorboard --logdir` shows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds one point to each named curve."""
        with self._writer.as_default():
            for name, value in scalars.items():
                metadata = tf.compat.v1.SummaryMetadata(
                    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
                )
                # DATA_CLASS_SCALAR of TensorBoard's summary.proto.
                metadata.data_class = 1
                tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)

    def close(self) -> None:
        self._writer.close()
