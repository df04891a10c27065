"""Runs the transform graph of images inside another module, such as an exported model."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from components.artifacts import TransformGraph
from components.errors import DataError


class ImageTransform(tf.Module):  # type: ignore[misc]
    """The transform of images as it was written by the transform step.

    Assigned to an attribute of a module that is saved, it takes the graph along.
    """

    def __init__(self, folder: Path) -> None:
        """Loads the SavedModel in the folder `transform_fn`; see `load_transform`."""
        super().__init__(name="image_transform")
        self._loaded = tf.saved_model.load(str(folder))
        # The graph takes one dictionary of features.
        self._features = self._loaded.transform_fn.graph.structured_input_signature[0][0]

    def _run(self, name: str, values: tf.Tensor, result: str) -> tf.Tensor:
        # Features do not depend on each other, so the others may have no rows at all.
        nothing = {each: tf.zeros([0], spec.dtype) for each, spec in self._features.items()}
        return self._loaded.transform_fn({**nothing, name: values})[result]

    def decode(self, image: tf.Tensor) -> tf.Tensor:
        """Decodes, resizes and scales images by the transform graph itself.

        Args:
            image: string [B], PNG or JPEG files.

        Returns:
            float32 [B, height, width, channels] of -1..1.
        """
        return self._run("image", image, "image")

    def label_ids(self, label: tf.Tensor) -> tf.Tensor:
        """Ids of classes.

        Args:
            label: string [B].

        Returns:
            int32 [B], -1 for what is none of the classes.
        """
        return tf.cast(self._run("label", label, "label"), tf.int32)


def load_transform(graph: Path) -> ImageTransform:
    """Loads the graph that the transform step wrote.

    Args:
        graph: folder in TFX's layout.

    Raises:
        DataError: there is no transform graph for images.
    """
    folder = TransformGraph(graph).transform_fn
    if not (folder / "saved_model.pb").is_file():
        raise DataError(f"expected a transform graph at {graph}. Received: no transform_fn there")
    transform = ImageTransform(folder)
    if "image" not in transform._features:
        received = ", ".join(sorted(transform._features))
        raise DataError(
            f"expected a transform graph of images at {graph}. Received: one of {received}"
        )
    return transform
