"""Distances in the features of Inception v3, for those who have its weights at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.artifacts import Figure
from components.errors import ConfigError
from components.evaluate.image.data import Real
from components.evaluate.image.measure import Floats, Looked, distances
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.image.pictures import Images

PREFIX = "inception."
_SIDE, _BATCH = 299, 32
# A covariance of 2,048 features takes seconds to take apart, at every one of them.
_RESAMPLES = 20


class Inception:
    """Inception v3 without its top (Szegedy et al., 2016), as Keras has it.

    Distances under it are not those of the original Inception weights of 2015 that published
    values use, nor do they compare between two implementations: they compare runs of this step.

    Args:
        weights: file of weights for `keras.applications.InceptionV3(include_top=False)`.

    Raises:
        ConfigError: there is no such file, or it holds other weights.
    """

    def __init__(self, weights: Path) -> None:
        import keras

        wanted = "expected evaluate.inception_weights to be the weights of Keras' InceptionV3 "
        wanted += (
            "without its top, such as inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
        )
        if not weights.is_file():
            raise ConfigError(f"{wanted}. Received: {weights}, which is no file")
        try:
            self._model = keras.applications.InceptionV3(
                include_top=False, weights=str(weights), pooling="avg"
            )
        except (OSError, ValueError, KeyError) as error:
            problem = " ".join(str(error).split())[:200]
            raise ConfigError(f"{wanted}. Received: {weights}: {problem}") from None

    def features(self, images: Images) -> Floats:
        """Features float64 [rows, 2048] of uint8 [rows, height, width, 1 or 3]."""
        import tensorflow as tf

        found = []
        for start in range(0, len(images), _BATCH):
            part = tf.cast(images[start : start + _BATCH], tf.float32) / 127.5 - 1.0
            if part.shape[3] == 1:
                part = tf.image.grayscale_to_rgb(part)
            large = tf.image.resize(part, (_SIDE, _SIDE), "bilinear")
            found.append(self._model(large, training=False).numpy())
            print(f"progress: Inception features of {start + len(part)}/{len(images)}", flush=True)
        return np.concatenate(found).astype(np.float64)


def figures(
    inception: Inception, made: Looked, real: Looked, data: Real, options: EvaluateImageOptions
) -> dict[str, Figure]:
    """What `measure.distances` gives, in these features: of the model, and of the floor.

    Args:
        inception: the network.
        made, real: samples and held-out images.
        data: real images; as many training images as held-out ones give the floor.
        options: neighbours, resamples, seed.

    Returns:
        Figures named `inception.NAME` and `floor.inception.NAME`.
    """
    options = options.model_copy(update={"resamples": min(options.resamples, _RESAMPLES)})
    order = np.random.default_rng(options.seed + 1).permutation(len(data.training))
    rows = order[: len(data.held_out)]

    def looked(images: Images) -> Looked:
        return Looked(images, np.full(len(images), -1, np.int32), inception.features(images), None)

    held_out = looked(real.images)
    within = ", in Inception features"
    ours = distances(looked(made.images), held_out, options, PREFIX, within)
    floor = looked(data.training[rows])
    of = f", training images{within}"
    return {**ours, **distances(floor, held_out, options, f"floor.{PREFIX}", of)}
