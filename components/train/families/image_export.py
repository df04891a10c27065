"""Writes a trained image family as a self-contained SavedModel: class and seed in, PNG out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.train.families.family import ImageFamily
from components.train.graph_checks import first_wrong, one_or_as_many, require
from components.train.warmup import Inputs, write_requests

LABELS_ASSET = "labels.json"
_BYTES = tf.TensorSpec([None], tf.string)
_WARM_BATCHES = (1, 8)


def export(family: ImageFamily, graph: Path, destination: Path, labels: Sequence[str]) -> None:
    """Writes the SavedModel: `generate`, and `embed` and `score` where the family has them.

    It holds stock TensorFlow operations only and runs where XLA is disabled; the class names lie
    in `assets/labels.json`.

    Args:
        family: trained, computing in float32.
        graph: folder of the transform graph, by which `embed` and `score` decode images.
        destination: folder to write.
        labels: names of the classes, in the order of their ids; empty where there are none.

    Raises:
        DataError: there is no transform graph for images.
    """
    transform = None
    if _has(family, "embed") or _has(family, "score"):
        from components.transform.image.load import load_transform

        transform = load_transform(graph)
    save_model(ImageModel(family, labels, transform), destination)


def save_model(model: ImageModel, destination: Path) -> None:
    """Writes a model with its signatures, its class names and its warmup requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LABELS_ASSET
        path.write_text(json.dumps(model.labels, ensure_ascii=False), "utf-8")
        model.asset = tf.saved_model.Asset(str(path))
        signatures = {**model.served, "serving_default": model.served["generate"]}
        tf.saved_model.save(model, str(destination), signatures=signatures)
    write_requests(destination, model.warmup())


def _has(family: ImageFamily, method: str) -> bool:
    """Whether the family overrides a method that the base answers with None."""
    return getattr(type(family), method) is not getattr(ImageFamily, method)


class ImageModel(tf.Module):
    """A family behind the signatures that are served.

    Args:
        family: trained.
        labels: names of the classes.
        transform: has `decode(string [B]) -> float32 [B, height, width, channels]`; None for a
            family that neither embeds nor scores.
    """

    def __init__(self, family: ImageFamily, labels: Sequence[str], transform: Any) -> None:
        super().__init__()
        self.labels = list(labels) or [""]
        self.asset: Any = None
        self._family, self._transform = family, transform
        # The variables alone, not Keras' layers, which would bring functions of their own.
        self._weights = [v.value for net in family.networks().values() for v in net.variables]
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(self.labels), tf.range(len(self.labels), dtype=tf.int32)
            ),
            default_value=-1,
        )
        self.served = {"generate": self._generate(), "describe": self._describe()}
        if transform is not None and _has(family, "embed"):
            self.served["embed"] = self._embed()
        if transform is not None and _has(family, "score"):
            self.served["score"] = self._score()

    def _generate(self) -> Any:
        """`generate(label, seed, the family's parameters) -> image, label`."""
        names = list(self._family.parameters())
        specs = [
            tf.TensorSpec([None], tf.string, "label"),
            tf.TensorSpec([None], tf.int64, "seed"),
            *(tf.TensorSpec([None], tf.float32, name) for name in names),
        ]

        def generate(label: tf.Tensor, seed: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.size(label)
            given = dict(zip(names, values, strict=True))
            checks = [one_or_as_many("seed", seed, rows, "labels")]
            for name, value in given.items():
                checks += [one_or_as_many(name, value, rows, "labels"), self._within(name, value)]
            with tf.control_dependencies(checks):
                seed = tf.broadcast_to(seed, [rows])
                wide = {
                    name: tf.broadcast_to(self._chosen(name, value), [rows])
                    for name, value in given.items()
                }
            ids = self._class_ids(label, seed)
            image = self._family.sample(ids, seed, **wide)
            return {"image": _encoded(image), "label": tf.gather(tf.constant(self.labels), ids)}

        return tf.function(generate, input_signature=specs, autograph=False)

    def _chosen(self, name: str, value: tf.Tensor) -> tf.Tensor:
        """The value, or the family's own default for NaN: a caller need not know the family."""
        default, _, _ = self._family.parameters()[name]
        return tf.where(tf.math.is_nan(value), default, value)

    def _describe(self) -> Any:
        """`describe(about) -> json`: classes and parameters, for who offers a choice of them."""
        names = ("default", "minimum", "maximum")
        parameters = {
            name: dict(zip(names, map(float, values), strict=True))
            for name, values in self._family.parameters().items()
        }
        content = {"modality": "image", "labels": self.labels, "parameters": parameters}
        text = json.dumps(content, ensure_ascii=False)

        def describe(about: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"json": tf.fill(tf.shape(about), text)}

        specs = [tf.TensorSpec([None], tf.string, "about")]
        return tf.function(describe, input_signature=specs, autograph=False)

    def _within(self, name: str, value: tf.Tensor) -> tf.Operation:
        _, least, most = self._family.parameters()[name]
        holds = tf.math.is_nan(value) | ((value >= least) & (value <= most))
        expected = f"{name} must be from {least:g} to {most:g}. Received: "
        return require(holds, expected, first_wrong(value, holds))

    def _class_ids(self, label: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Ids of names; with seeds, an empty name is a class drawn from its row's seed."""
        ids = self._ids.lookup(label)
        if seed is not None:
            text = tf.strings.join(["class of ", tf.strings.as_string(seed)])
            drawn = tf.strings.to_hash_bucket_fast(text, len(self.labels))
            ids = tf.where(tf.strings.length(label) == 0, tf.cast(drawn, tf.int32), ids)
        known = ids >= 0
        unknown = tf.concat([tf.boolean_mask(label, ~known), [""]], 0)[0]
        names = ", ".join(self.labels)
        empty = ", or empty for any" if seed is not None else ""
        check = require(known, f"label must be one of {names}{empty}. Received: ", unknown)
        with tf.control_dependencies([check]):
            return tf.identity(ids)

    def _embed(self) -> Any:
        """`embed(image) -> embedding`; PNG or JPEG in."""

        def embed(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self._family.embed(self._transform.decode(image))}

        specs = [tf.TensorSpec([None], tf.string, "image")]
        return tf.function(embed, input_signature=specs, autograph=False)

    def _score(self) -> Any:
        """`score(image, label) -> nll`; PNG or JPEG and its class in, nats out."""

        def score(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            check = one_or_as_many("label", label, tf.size(image), "images")
            with tf.control_dependencies([check]):
                ids = tf.broadcast_to(self._class_ids(label), tf.shape(image))
            return {"nll": self._family.score(self._transform.decode(image), ids)}

        specs = [tf.TensorSpec([None], tf.string, name) for name in ("image", "label")]
        return tf.function(score, input_signature=specs, autograph=False)

    def warmup(self) -> list[tuple[str, Inputs]]:
        """Requests for every signature, in batches of one and more."""
        defaults = {
            name: np.array([default], np.float32)
            for name, (default, _, _) in self._family.parameters().items()
        }
        requests: list[tuple[str, Inputs]] = [("describe", {"about": np.array([""], object)})]
        for rows in _WARM_BATCHES:
            label = np.resize(np.array(self.labels, object), rows)
            seed = np.arange(rows, dtype=np.int64)
            requests.append(("generate", {"label": label, "seed": seed, **defaults}))
            values = [tf.constant(value) for value in (label, seed, *defaults.values())]
            png = self.served["generate"](*values)["image"].numpy()
            if "embed" in self.served:
                requests.append(("embed", {"image": png}))
            if "score" in self.served:
                requests.append(("score", {"image": png, "label": label}))
        return requests


def _encoded(image: tf.Tensor) -> tf.Tensor:
    """PNG files, string [B], of images float32 [B, height, width, channels] of -1..1."""
    levels = tf.clip_by_value(tf.round((image + 1.0) * 127.5), 0.0, 255.0)
    return tf.map_fn(
        tf.io.encode_png,
        tf.cast(levels, tf.uint8),
        fn_output_signature=tf.TensorSpec([], tf.string),
    )
