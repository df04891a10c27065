"""The training step: penalties, the warmed-up average, and updates that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from components.train.ema import WeightAverage
from components.train.families.family import Batch, Family, Player
from components.train.families.learner import FamilyLearner, rate_at
from components.train.families.options import FamilyTrainOptions


class Line(Family):
    """Fits y = w x + b; `broken` multiplies the loss."""

    modality = "image"
    title = "line"
    Options = pydantic.BaseModel

    def __init__(self, options: Any, data: Mapping[str, Any], *, dropout: float, seed: int) -> None:
        x = keras.Input((1,))
        self.network = keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones")(x))
        self.broken = tf.Variable(1.0)

    def networks(self) -> dict[str, keras.Model]:
        return {"line": self.network}

    def players(self) -> list[Player]:
        return [Player("line", self.network.trainable_variables)]

    def loss(self, player: str, batch: Batch, seed: tf.Tensor, training: bool) -> Any:
        error = self.network(batch["x"]) - batch["y"]
        return tf.reduce_mean(tf.square(error)) * self.broken, {"error": tf.reduce_max(error)}


def _learner(**options: Any) -> tuple[Line, FamilyLearner, Batch]:
    family = Line(None, {}, dropout=0.0, seed=0)
    chosen = FamilyTrainOptions(batch_size=4, clip_norm=1e9, **options)
    x = tf.constant([[0.0], [1.0], [2.0], [3.0]])
    return family, FamilyLearner(family, chosen), {"x": x, "y": 3 * x + 1}


def test_a_step_moves_the_weights_as_adamw_does() -> None:
    family, learner, batch = _learner(weight_decay=0.5)
    same = keras.models.clone_model(family.network)
    same.set_weights(family.network.get_weights())
    adam = keras.optimizers.AdamW(0.1, weight_decay=0.5, beta_2=0.999, epsilon=1e-8)
    adam.exclude_from_weight_decay(var_names=["bias"])
    for step in range(5):
        learner.train(batch, step, 0.1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(same(batch["x"]) - batch["y"]))
        adam.apply(tape.gradient(loss, [v.value for v in same.trainable_variables]),
                   same.trainable_variables)  # fmt: skip

    for one, other in zip(family.network.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_shrink_matrices_and_leave_biases(penalty: str) -> None:
    fitted = {}
    for strength in (0.0, 30.0):
        family, learner, batch = _learner(**{penalty: strength})
        for step in range(300):
            learner.train(batch, step, 0.05)
        fitted[strength] = family.network.get_weights()

    assert fitted[0.0][0] == pytest.approx(3, abs=0.1)
    assert abs(fitted[30.0][0]) < 0.6
    assert fitted[30.0][1] > 3  # the bias takes over what the slope may not give


def test_an_update_with_a_gradient_that_is_not_finite_is_left_out_and_counted() -> None:
    family, learner, batch = _learner()
    learner.train(batch, 0, 0.1)
    before = family.network.get_weights()

    family.broken.assign(float("inf"))
    scalars = learner.scalars(learner.train(batch, 1, 0.1))

    assert scalars["gradient_not_finite"] > 0
    for one, other in zip(before, family.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert learner.trouble() == (1, 1)
    family.broken.assign(1.0)
    learner.train(batch, 2, 0.1)
    assert learner.trouble() == (1, 0)


def test_in_float16_a_left_out_update_lowers_the_scale_of_the_loss() -> None:
    family = Line(None, {}, dropout=0.0, seed=0)
    learner = FamilyLearner(family, FamilyTrainOptions(batch_size=4), float16=True)
    x = tf.constant([[1e20]] * 4)
    learner.train({"x": x, "y": x}, 0, 0.1)
    batch = {"x": tf.ones([4, 1]), "y": 3 * tf.ones([4, 1])}
    scaled = dict(learner.variables())["learner.0"].numpy()
    norm = learner.scalars(learner.train(batch, 1, 0.1))["gradient_norm"]

    assert scaled <= 2.0**15
    # The scale is taken out again: d/dw and d/db of (w + b - 3)^2 at w = 1, b = 0.
    assert norm == pytest.approx(np.hypot(4, 4), rel=1e-4)


def test_the_average_soon_forgets_the_initial_weights() -> None:
    weight = tf.Variable(0.0)
    average = WeightAverage([weight], 0.995)
    weight.assign(1.0)
    for step in range(78):
        average.update(tf.constant(step))

    # Without the warmup two thirds of the initial 0 would be left: 0.995 ** 78 = 0.68.
    assert float(average.averages[0]) > 0.999
    with average.in_place():
        assert float(weight) > 0.999
        assert float(average.averages[0]) == 1.0
    assert float(weight) == 1.0


def test_the_rate_rises_and_falls() -> None:
    options = FamilyTrainOptions(warmup_steps=10)
    rates = [rate_at(step / 100, step, options, 1.0) for step in range(101)]

    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == pytest.approx(0.98, abs=0.02)
    assert rates[-1] == pytest.approx(0.05)
