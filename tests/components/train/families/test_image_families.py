"""Each family of images learns what its classes look like, in grey and in colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import TransformedExamples
from components.errors import ConfigError
from components.train.families.family import Family, ImageFamily
from components.train.families.learner import FamilyLearner
from components.train.families.loop import FamilyTraining
from components.train.families.options import FamilyTrainOptions
from components.train.families.registry import make_family

GREY = {"modality": "image", "shape": [8, 8, 1], "labels": ["cross", "dot", "stripes"]}
RECIPES: dict[str, dict[str, Any]] = {
    "diffusion": {"steps": 250, "learning_rate": 1e-2},
    "gan": {"steps": 150, "learning_rate": 2e-3},
    "rbm": {"steps": 250, "learning_rate": 1e-2},
    "vae": {"steps": 250, "learning_rate": 2e-3},
}


def _draw(family: Family, label: Any, seed: Any) -> np.ndarray[Any, Any]:
    assert isinstance(family, ImageFamily)
    given = {
        name: tf.fill([len(label)], default)
        for name, (default, _, _) in family.parameters().items()
    }
    drawn = family.sample(tf.constant(label, tf.int32), tf.constant(seed, tf.int64), **given)
    found: np.ndarray[Any, Any] = drawn.numpy()
    return found


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_samples_of_a_class_look_like_that_class(
    images: TransformedExamples, tmp_path: Path, tiny: dict[str, Any], name: str
) -> None:
    options = FamilyTrainOptions(
        family=name,
        family_options=tiny[name],
        batch_size=16,
        warmup_steps=5,
        ema=0.95,
        eval_every=1000,
        preview_every=0,
        **RECIPES[name],
    )
    trained = FamilyTraining(images, options, tmp_path / "checkpoint", tmp_path / "logs")
    trained.run()

    batch = next(trained.examples.training(96, seed=0))
    means = np.stack(
        [batch["image"].numpy()[batch["label"].numpy() == label].mean(0) for label in range(3)]
    )
    drawn = _draw(trained.family, np.repeat(np.arange(3), 20), np.arange(60))
    apart = ((drawn[:, np.newaxis] - means) ** 2).mean((2, 3, 4))

    assert (apart.argmin(1) == np.repeat(np.arange(3), 20)).mean() > 0.75
    assert np.abs(drawn).max() <= 1
    assert drawn.reshape(3, 20, -1).std(1).mean() > 0.05  # not one image for each class


@pytest.mark.parametrize("name", ["diffusion", "gan", "vae"])
def test_the_shape_for_an_accelerator_builds_and_steps(name: str) -> None:
    """64x64 colour, with attention, at the widths of the full profile; one example."""
    statistics = {**GREY, "shape": [64, 64, 3]}
    full = {
        "diffusion": {"widths": [64, 128, 256], "blocks": 2, "heads": 8, "connected": 0},
        "gan": {"width": 64, "blocks": 2, "critic_updates": 1},
        "vae": {"width": 64, "blocks": 2, "latent": 128},
    }[name]
    family = make_family(name, full, statistics, dropout=0.1)
    learner = FamilyLearner(family, FamilyTrainOptions(batch_size=1))
    image = tf.random.stateless_uniform([learner.rows, 64, 64, 3], [0, 0], -1, 1)
    batch = {"image": image, "label": tf.zeros([learner.rows], tf.int32)}

    found = learner.scalars(learner.train(batch, 0, 1e-4))

    assert np.isfinite(found[learner.loss_name])
    assert learner.trouble() == (-1, 0)


def test_both_objectives_of_diffusion_recover_an_image_from_a_perfect_network(
    tiny: dict[str, Any],
) -> None:
    """The algebra of mixture, velocity and noise: with the right output, image and noise agree."""
    for objective in ("flow", "noise"):
        family: Any = make_family("diffusion", {**tiny["diffusion"], "objective": objective}, GREY)
        image = tf.random.stateless_uniform([5, 8, 8, 1], [1, 1], -1, 1)
        noise = tf.random.stateless_normal([5, 8, 8, 1], [2, 2])
        time = tf.constant([0.1, 0.3, 0.5, 0.7, 0.95])
        share, noise_share = family._mixture(time)
        mixed = share * image + noise_share * noise
        guessed_image, guessed_noise = family._predict(mixed, time, tf.zeros([5], tf.int32), False)
        # Whatever the network says, its image and its noise must make up the mixture.
        np.testing.assert_allclose(
            share * guessed_image + noise_share * guessed_noise, mixed, atol=1e-4
        )
        assert _draw(family, [0, 1], [1, 2]).shape == (2, 8, 8, 1)


def test_a_vae_scores_its_own_class_of_images_as_likelier_after_training(
    images: TransformedExamples, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    options = FamilyTrainOptions(
        family="vae", family_options=tiny["vae"], batch_size=16, steps=150, learning_rate=2e-3,
        eval_every=1000, preview_every=0,
    )  # fmt: skip
    trained = FamilyTraining(images, options, tmp_path / "checkpoint", tmp_path / "logs")
    family: Any = trained.family
    batch = trained.held_out[0]
    before = family.score(batch["image"], batch["label"]).numpy().mean()
    trained.run()
    after = family.score(batch["image"], batch["label"]).numpy().mean()

    assert after < before - 10
    assert family.embed(batch["image"]).shape == (16, 4)


def test_a_generator_that_gives_one_image_is_called_collapsed(tiny: dict[str, Any]) -> None:
    family: Any = make_family("gan", tiny["gan"], GREY)
    batch = {
        "image": tf.random.stateless_uniform([32, 8, 8, 1], [0, 1], -1, 1),
        "label": tf.constant([0, 1] * 16),
    }
    learner = FamilyLearner(family, FamilyTrainOptions(batch_size=32))
    for variable in family.generator.trainable_variables:
        if "embedding" not in variable.path:
            variable.assign(tf.zeros(variable.shape))
    collapsed = learner.evaluate([batch])

    assert collapsed["generator.diversity"] == pytest.approx(0, abs=1e-3)
    assert "the generator has collapsed" in family.health(collapsed)
    healthy = {"generator.diversity": 0.9, "critic.slope": 1.0}
    assert family.health(healthy) == ""
    assert "slope is 9.0" in family.health({**healthy, "critic.slope": 9.0})


def test_an_image_that_cannot_be_halved_is_refused(tiny: dict[str, Any]) -> None:
    for name in ("diffusion", "gan", "vae"):
        with pytest.raises(ConfigError, match=r"4 divides\. Received: 10 x 8; change transform"):
            make_family(name, tiny[name], {**GREY, "shape": [10, 8, 1]})


def test_images_without_classes_are_modelled_as_one_class(
    make_images: Callable[..., Any], tiny: dict[str, Any]
) -> None:
    for name in sorted(tiny):
        family = make_family(name, tiny[name], {**GREY, "labels": []})
        assert _draw(family, [0, 0], [1, 2]).shape == (2, 8, 8, 1)
