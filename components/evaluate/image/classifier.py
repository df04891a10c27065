"""The classifier that judges images: a small network taught on the training split alone."""

from __future__ import annotations

import time

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
FEATURES = 64
_BATCH = 128
_SECONDS_BETWEEN_LINES = 1.0


class Judge:
    """Features of images, and their classes where there are any.

    A network that has seen the same data tells more of it than one that has seen photographs
    (Fréchet distances compare under one classifier only: the report names it). Without classes
    the network keeps its initial weights: distances under random features still fall as images
    get alike, but are coarser.

    Args:
        shape: height, width and channels.
        classes: how many; 0 for images without classes.
        seed: of the weights and of the order.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.classes, self._seed = classes, seed
        image = keras.Input(shape, dtype="uint8")
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
        # Strided from the start: nothing is computed at full resolution, where most time would go.
        for filters, size in ((32, 5), (64, 3)):
            x = keras.layers.Conv2D(filters, size, 2, padding="same", activation="relu")(x)
        if max(shape) > 32:
            x = keras.layers.Conv2D(64, 3, 2, padding="same", activation="relu")(x)
        x = keras.layers.Flatten()(x)
        features = keras.layers.Dense(FEATURES, activation="relu", name="features")(x)
        outputs = [features]
        if classes:
            kept = keras.layers.Dropout(0.3)(features)
            outputs.append(keras.layers.Dense(classes, name="logits")(kept))
        self._model = keras.Model(image, outputs)

    @property
    def name(self) -> str:
        """What distances are measured in."""
        if self.classes:
            return f"{FEATURES} features of a classifier taught on the training split"
        return f"{FEATURES} features of an untaught network, for images without classes"

    def teach(self, images: Images, labels: npt.NDArray[np.int32], epochs: int) -> None:
        """Learns classes: cross-entropy, Adam, the rate falling to zero.

        Args:
            images: [rows, height, width, channels].
            labels: [rows], of 0..classes - 1.
            epochs: passes over the rows.
        """
        batch = min(_BATCH, len(images))
        steps = epochs * (len(images) // batch)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
        variables = self._model.trainable_variables
        optimizer.build(variables)

        @tf.function  # type: ignore[untyped-decorator]
        def step(shown: tf.Tensor, meant: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                logits = self._model(shown, training=True)[1]
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(meant, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            optimizer.apply(gradients, variables)

        said = time.monotonic()
        for epoch in range(epochs):
            order = np.random.default_rng([self._seed, epoch]).permutation(len(images))
            for start in range(0, len(images) - batch + 1, batch):
                rows = order[start : start + batch]
                step(tf.constant(images[rows]), tf.constant(labels[rows]))
                if time.monotonic() - said > _SECONDS_BETWEEN_LINES:
                    said = time.monotonic()
                    done = epoch * (len(images) // batch) + start // batch
                    print(f"progress: teach the classifier, {done}/{steps}", flush=True)

    def look(self, images: Images) -> tuple[Floats, npt.NDArray[np.int32] | None]:
        """Features [rows, FEATURES] of images, and their classes [rows] where there are any."""
        found = self._model.predict(images, batch_size=512, verbose=0)
        if not self.classes:
            features = found[0] if isinstance(found, list) else found
            return np.asarray(features, np.float64), None
        return np.asarray(found[0], np.float64), np.argmax(found[1], axis=1).astype(np.int32)
