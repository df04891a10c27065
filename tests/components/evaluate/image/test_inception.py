"""Inception's features: in its own scale, of grey and colour, and only from its own weights."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from components.errors import ConfigError
from components.evaluate.image import inception
from components.evaluate.image.data import Real
from components.evaluate.image.measure import Looked
from components.evaluate.image.options import EvaluateImageOptions
from tests.components.evaluate.image.conftest import Draw

ROWS = 24


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """The network with weights drawn at random: the real ones are not at hand."""
    keras.utils.set_random_seed(0)
    return keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")


@pytest.fixture(scope="module")
def weights(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "inception.weights.h5"
    network.save_weights(path)
    return path


def test_features_are_those_of_the_network_given_what_its_paper_feeds_it(
    network: keras.Model, weights: Path, draw: Draw
) -> None:
    grey = draw(2, 0)[..., np.newaxis]
    judge = inception.Inception(weights)

    found = judge.features(grey)

    colour = np.repeat(grey, 3, axis=3)
    large = keras.ops.image.resize(colour.astype("float32"), (299, 299), "bilinear")
    expected = network(keras.applications.inception_v3.preprocess_input(large)).numpy()
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(judge.features(colour), found, rtol=1e-4, atol=1e-6)


def test_images_like_the_real_ones_lie_nearer_than_noise(
    weights: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each resample takes seconds: the features are 2,048.
    monkeypatch.setattr(inception, "_RESAMPLES", 2)

    def looked(images: np.ndarray) -> Looked:
        return Looked(images, np.zeros(len(images), np.int32), np.zeros((len(images), 1)), None)

    training, held_out = (draw(ROWS, seed)[..., np.newaxis] for seed in (1, 2))
    noise = np.random.default_rng(0).integers(0, 256, held_out.shape).astype(np.uint8)
    labels = np.zeros(ROWS, np.int32)
    data = Real(training, labels, held_out, labels, 0)
    network = inception.Inception(weights)

    found = inception.figures(
        network, looked(noise), looked(held_out), data, EvaluateImageOptions()
    )

    for name in ("kernel_distance", "frechet_distance"):
        assert found[f"floor.inception.{name}"].value < found[f"inception.{name}"].value
    assert found["inception.precision"].value < found["floor.inception.precision"].value


def test_a_file_that_is_not_there_or_holds_something_else_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is no file"):
        inception.Inception(tmp_path / "none.h5")
    other = tmp_path / "other.h5"
    other.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"InceptionV3 without its top.*Received: .*other\.h5"):
        inception.Inception(other)
