"""The SavedModel of images: portable, repeatable by seed, warm, and clear about bad requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.artifacts import WARMUP_FILE
from components.train.families.family import ImageFamily
from components.train.families.image_export import ImageModel, save_model
from components.train.families.registry import make_family

LABELS = ["cross", "dot", "stripes"]
FAMILIES = ["diffusion", "gan", "rbm", "vae"]


class Decoder(tf.Module):
    """Decodes as the transform of 8x8 grey images does."""

    def decode(self, image: tf.Tensor) -> tf.Tensor:
        def one(content: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.io.decode_png(content, 1), [8, 8, 1])

        pixels = tf.map_fn(one, image, fn_output_signature=tf.TensorSpec([8, 8, 1], tf.uint8))
        return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def _randomized(family: ImageFamily) -> ImageFamily:
    """Weights that are nowhere zero, so that every part has an effect."""
    random = np.random.default_rng(3)
    for network in family.networks().values():
        for variable in network.trainable_variables:
            spread = 0.5 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
            variable.assign(random.normal(0, spread, variable.shape))
    return family


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]
) -> Callable[[str], Path]:
    """Where the SavedModel of a family is; written at first use."""
    statistics = {"modality": "image", "shape": [8, 8, 1], "labels": LABELS}
    folder = tmp_path_factory.mktemp("exported")

    def path(name: str) -> Path:
        if not (folder / name).exists():
            family = make_family(name, tiny[name], statistics, seed=1)
            assert isinstance(family, ImageFamily)
            save_model(ImageModel(_randomized(family), LABELS, Decoder()), folder / name)
        return folder / name

    return path


def _call(path: Path, labels: list[str], seeds: list[int], **given: Any) -> dict[str, Any]:
    generate = tf.saved_model.load(str(path)).signatures["generate"]
    inputs = {"label": tf.constant(labels, tf.string), "seed": tf.constant(seeds, tf.int64)}
    for name in generate.structured_input_signature[1]:
        if name not in inputs:
            inputs[name] = tf.constant(np.atleast_1d(given.get(name, np.nan)).astype(np.float32))
    return {name: value.numpy() for name, value in generate(**inputs).items()}


def _pixels(images: Any) -> np.ndarray[Any, Any]:
    return np.stack([tf.io.decode_png(image).numpy() for image in images]).astype(int)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_seed_gives_one_image_whatever_else_is_asked_for(
    exported: Callable[[str], Path], name: str
) -> None:
    together = _call(exported(name), ["dot", "", "dot", "cross"], [5, 6, 7, 5])
    alone = [
        _call(exported(name), [label], [seed])
        for label, seed in (("dot", 5), ("", 6), ("dot", 7), ("cross", 5))
    ]

    pixels = _pixels(together["image"])
    assert pixels.shape == (4, 8, 8, 1)
    # Sums of floats are rounded otherwise in another batch size: a level of 255 may be the next.
    assert np.abs(pixels - _pixels([one["image"][0] for one in alone])).max() <= 1
    assert together["label"].tolist() == [one["label"][0] for one in alone]
    assert (together["label"][[0, 2, 3]] == [b"dot", b"dot", b"cross"]).all()
    assert np.abs(pixels[0] - pixels[2]).max() > 1  # another seed
    assert np.abs(pixels[0] - pixels[3]).max() > 1  # another class


def test_an_empty_label_is_a_class_drawn_from_the_seed(exported: Callable[[str], Path]) -> None:
    drawn = _call(exported("gan"), [""] * 300, list(range(300)))["label"].tolist()

    shares = [drawn.count(label.encode()) / 300 for label in LABELS]
    assert min(shares) > 0.25
    assert sum(shares) == 1


def test_parameters_may_differ_by_row_and_default_where_not_a_number(
    exported: Callable[[str], Path],
) -> None:
    path = exported("diffusion")
    default = _pixels(_call(path, ["dot"] * 3, [5] * 3)["image"])
    spelled = _call(path, ["dot"] * 3, [5] * 3, guidance=[2, 2, 2], steps=[3])
    mixed = _pixels(_call(path, ["dot"] * 3, [5] * 3, steps=[np.nan, 9, 1])["image"])

    np.testing.assert_array_equal(default, _pixels(spelled["image"]))
    assert np.abs(mixed[0] - default[0]).max() <= 1
    assert np.abs(mixed[1] - default[1]).max() > 1
    assert np.abs(mixed[2] - mixed[1]).max() > 1


BAD = [
    (["dog"], [1], {}, "label must be one of cross, dot, stripes, or empty for any. Received: dog"),
    (["dot"] * 3, [1, 2], {}, "seed has 2 values for 3 labels; send 1 or as many"),
    (["dot"], [1], {"guidance": -1}, "guidance must be from 0 to 20. Received: -1"),
    (["dot"], [1], {"steps": 1e9}, "steps must be from 1 to 200. Received: 1000000000"),
    (["dot"], [1], {"steps": float("inf")}, "steps must be from 1 to 200. Received: inf"),
]


@pytest.mark.parametrize(("labels", "seeds", "given", "message"), BAD)
def test_a_bad_request_is_refused_in_one_line(
    exported: Callable[[str], Path], labels: Any, seeds: Any, given: Any, message: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed") as error:
        _call(exported("diffusion"), labels, seeds, **given)
    assert message in error.value.message


@pytest.mark.parametrize("name", FAMILIES)
def test_no_xla_is_inside_and_warmup_requests_are_answered(
    exported: Callable[[str], Path], name: str
) -> None:
    path = exported(name)
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    nodes = [
        node
        for graph in saved.meta_graphs
        for function in graph.graph_def.library.function
        for node in function.node_def
    ]
    assert len(nodes) > 50
    assert not [node.op for node in nodes if node.op.startswith("Xla")]
    assert not [node.name for node in nodes if node.attr["_XlaMustCompile"].b]

    model = tf.saved_model.load(str(path))
    seen = set()
    for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        seen.add(request.model_spec.signature_name)
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        model.signatures[request.model_spec.signature_name](**inputs)
    assert seen == set(model.signatures) - {"serving_default"}
    assert json.loads((path / "assets/labels.json").read_text("utf-8")) == LABELS


def test_a_vae_embeds_and_scores_encoded_images(exported: Callable[[str], Path]) -> None:
    signatures = tf.saved_model.load(str(exported("vae"))).signatures
    flat = tf.io.encode_png(np.full((8, 8, 1), 127, np.uint8))
    noisy = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    images = tf.stack([flat, tf.io.encode_png(noisy), flat])

    embedding = signatures["embed"](image=images)["embedding"].numpy()
    nll = signatures["score"](image=images, label=tf.constant(["dot"]))["nll"].numpy()

    assert embedding.shape == (3, 4)
    np.testing.assert_allclose(embedding[0], embedding[2], atol=1e-5)
    assert np.abs(embedding[0] - embedding[1]).max() > 1e-3
    assert nll[0] == pytest.approx(nll[2], rel=1e-5)
    assert nll[1] > nll[0]  # noise is less likely than a plain grey
    assert "embed" not in tf.saved_model.load(str(exported("gan"))).signatures


ALONE = """
import ctypes, glob, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

folder = os.path.dirname(tf.__file__)
library = ctypes.CDLL(glob.glob(os.path.join(folder, "libtensorflow_cc.so*"))[0])
library._ZN10tensorflow21DisableXlaCompilationEv()
for path in sys.argv[1:]:
    generate = tf.saved_model.load(path).signatures["generate"]
    inputs = {
        name: tf.constant([float("nan")])
        for name in generate.structured_input_signature[1] if name not in ("label", "seed")
    }
    result = generate(label=tf.constant(["dot"]), seed=tf.constant([5], tf.int64), **inputs)
    print(result["image"].numpy()[0].hex())
assert not any(name.split(".")[0] == "components" for name in sys.modules)
"""


def test_it_runs_alone_where_xla_is_disabled(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    moved = [shutil.copytree(exported(name), tmp_path / name) for name in FAMILIES]
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, moved)],
        cwd=tmp_path, env=hidden, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, line in zip(FAMILIES, done.stdout.split(), strict=True):
        here = _pixels(_call(exported(name), ["dot"], [5])["image"])
        assert np.abs(_pixels([bytes.fromhex(line)]) - here).max() <= 1
