"""The table Transformer: its likelihood adds up to one, and conditions are exact."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.errors import ConfigError
from components.train.families.family import TableFamily
from components.train.families.registry import make_family
from components.train.families.table_transformer import order_of

BINS = 4
COLUMNS = [
    {
        "name": "kind", "kind": "categorical", "dtype": "string", "nullable": False, "size": 3,
        "categories": ["x", "y", "z"], "unknown": 2,
    },
    {
        "name": "size", "kind": "numerical", "dtype": "double", "nullable": True, "size": 3,
        "missing": 2, "means": [0.0, 5.0], "deviations": [1.0, 2.0], "weights": [0.5, 0.5],
        "value": 0, "minimum": -4.0, "maximum": 13.0,
    },
    {
        "name": "sure", "kind": "boolean", "dtype": "bool", "nullable": True, "size": 3,
        "missing": 2, "categories": ["false", "true"],
    },
]  # fmt: skip
DATA: dict[str, Any] = {"modality": "table", "columns": COLUMNS, "constraints": []}


@pytest.fixture(scope="module")
def family() -> TableFamily:
    options = {"width": 16, "layers": 2, "heads": 2, "bins": BINS}
    made = make_family("transformer", options, DATA, seed=3)
    assert isinstance(made, TableFamily)
    return made


def every_row() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes and values in the middle of each bin, and how wide the bin is."""
    middles = (np.arange(BINS) + 0.5) * 2 / BINS - 1
    rows, values, widths = [], [], []
    for kind, size, sure in itertools.product(range(3), range(3), range(3)):
        present = size < 2
        for middle in middles if present else [0.0]:
            rows.append((kind, size, sure))
            values.append([middle])
            widths.append(2 / BINS if present else 1.0)
    return np.array(rows, np.int32), np.array(values, np.float32), np.array(widths)


Sampler = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def sampled(family: TableFamily) -> Sampler:
    specs = [
        tf.TensorSpec([None, 3], tf.bool),
        tf.TensorSpec([None, 3], tf.int32),
        tf.TensorSpec([None, 1], tf.float32),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None], tf.float32),
    ]
    traced = tf.function(family.sample, input_signature=specs, autograph=False)

    def sample(
        rows: int, known: tuple[bool, ...], codes: tuple[int, ...] = (0, 0, 0)
    ) -> tuple[np.ndarray, np.ndarray]:
        found = traced(
            tf.tile([list(known)], [rows, 1]),
            tf.tile([list(codes)], [rows, 1]),
            tf.fill([rows, 1], 0.3),
            tf.range(rows, dtype=tf.int64),
            tf.ones([rows]),
        )
        return found[0].numpy(), found[1].numpy()

    return sample


def test_the_density_adds_up_to_one_over_all_rows(family: TableFamily) -> None:
    codes, values, widths = every_row()

    nll = family.score(tf.constant(codes), tf.constant(values))

    assert nll is not None
    np.testing.assert_allclose(np.sum(np.exp(-nll.numpy()) * widths), 1.0, atol=1e-5)


def test_samples_are_as_frequent_as_the_likelihood_says(
    family: TableFamily, sampled: Sampler
) -> None:
    codes, values, widths = every_row()
    nll = family.score(tf.constant(codes), tf.constant(values))
    assert nll is not None
    expected = np.zeros((3, 3, 3))
    np.add.at(expected, tuple(codes.T), np.exp(-nll.numpy()) * widths)
    expected = expected[:2] / expected[:2].sum()  # The unknown category is never drawn.
    rows = 4000

    drawn, _ = sampled(rows, (False, False, False))

    found = np.zeros((3, 3, 3))
    np.add.at(found, tuple(drawn.T), 1 / rows)
    assert found[2].sum() == 0
    error = np.sqrt(expected * (1 - expected) / rows)
    assert np.all(np.abs(found[:2] - expected) < 5 * error + 1e-3)


def test_given_columns_stay_and_the_others_follow_the_conditional_distribution(
    family: TableFamily, sampled: Sampler
) -> None:
    rows = 4000
    drawn, values = sampled(rows, (False, True, True), (0, 1, 0))
    assert set(drawn[:, 1]) == {1}
    assert set(drawn[:, 2]) == {0}
    np.testing.assert_allclose(values, 0.3)

    # The same from the full network, with the given columns first in the order.
    known = tf.constant([[False, True, True]] * 3)
    codes = tf.constant([[kind, 1, 0] for kind in range(3)])
    before, visible = order_of(known)
    network = family.networks()["transformer"]
    logits = network([codes, tf.fill([3, 1], 0.3), before, visible], training=False)[0].numpy()
    shares = np.exp(logits[0, :2]) / np.exp(logits[0, :2]).sum()
    found = np.bincount(drawn[:, 0], minlength=2) / rows
    np.testing.assert_allclose(found, shares, atol=5 * np.sqrt(0.25 / rows))


def test_rows_do_not_depend_on_the_rows_beside_them(sampled: Sampler) -> None:
    many = sampled(50, (False, False, False))
    few = sampled(5, (False, False, False))

    np.testing.assert_array_equal(many[0][:5], few[0])
    np.testing.assert_allclose(many[1][:5], few[1])


def test_known_columns_come_first_and_keep_the_order_of_the_schema() -> None:
    before, visible = order_of(tf.constant([[False, True, False, True]]))

    assert before.numpy().tolist() == [[3, 4, 0, 1]]  # 1, 3, 0, 2; 4 is before the first.
    assert visible.numpy()[0].tolist() == [
        [True, True, False, True],
        [False, True, False, False],
        [True, True, True, True],
        [False, True, False, True],
    ]


def test_learning_lowers_the_held_out_loss_of_dependent_columns() -> None:
    options = {"width": 16, "layers": 1, "heads": 2, "bins": BINS}
    learnt = make_family("transformer", options, DATA, seed=1)
    noise = np.random.default_rng(0)
    kind = noise.integers(0, 2, 512)
    codes = np.stack([kind, kind, kind], axis=1).astype(np.int32)
    values = np.where(kind[:, None] == 1, 0.9, -0.9).astype(np.float32)
    batch = {"codes": tf.constant(codes), "values": tf.constant(values)}
    variables = [variable.value for variable in learnt.players()[0].variables]
    optimizer = tf.keras.optimizers.Adam(0.02)

    @tf.function
    def step(seed: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss, _ = learnt.loss("transformer", batch, seed, training=True)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for number in range(60):
        step(tf.constant([0, number]))
    held_out, _ = learnt.loss("transformer", batch, tf.constant([0, 0]), training=False)

    # One coin decides everything: log 2 nats, and the density of a bin of width 1/2.
    np.testing.assert_allclose(held_out, np.log(2) - np.log(BINS / 2), atol=0.1)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"divide width\. Received: width 10 and heads 4"):
        make_family("transformer", {"width": 10}, DATA)
