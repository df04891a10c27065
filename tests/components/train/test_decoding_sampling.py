"""Tokens are drawn from exactly the distribution that the parameters describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.train.decoding_sampling import choose, prepare, uniforms

DRAWS = 20_000
LOGITS = np.array([0.1, 2.0, -1.0, 1.5, 0.7, -3.0, 1.9, 0.0], np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum()


def draw(temperature: float, top_k: int, top_p: float) -> tuple[Any, Any]:
    """DRAWS tokens with their log-probabilities, each from a row with a seed of its own."""
    sampling = prepare(
        tf.fill([DRAWS], temperature), tf.fill([DRAWS], top_k), tf.fill([DRAWS], top_p), LOGITS.size
    )
    noise = uniforms(tf.range(DRAWS, dtype=tf.int64), tf.constant(1))[0]
    logits = tf.tile(LOGITS[np.newaxis], [DRAWS, 1])
    tokens, logprobs = choose(logits, noise, sampling, sampling.most_ranks)
    return tokens.numpy(), logprobs.numpy()


def expected(temperature: float, top_k: int, top_p: float) -> Any:
    """The distribution, written down as its definition reads."""
    tempered = PROBABILITIES ** (1 / temperature)
    tempered /= tempered.sum()
    order = np.argsort(-tempered)
    before = np.cumsum(tempered[order]) - tempered[order]
    kept = before < top_p if top_p < 1 else np.ones_like(before, bool)
    if top_k:
        kept &= np.arange(order.size) < top_k
    result = np.zeros_like(tempered)
    result[order[kept]] = tempered[order[kept]]
    return result / result.sum()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.7, 0, 1.0), (1.0, 3, 1.0), (1.0, 0, 0.6), (1.5, 5, 0.8), (0.5, 100, 0.9)],
)
def test_frequencies_follow_the_distribution(temperature: float, top_k: int, top_p: float) -> None:
    tokens, _ = draw(temperature, top_k, top_p)
    counts = np.bincount(tokens, minlength=LOGITS.size)
    distribution = expected(temperature, top_k, top_p)
    possible = distribution > 0
    assert not counts[~possible].any()
    wanted = distribution[possible] * DRAWS
    chi_square = ((counts[possible] - wanted) ** 2 / wanted).sum()
    # Above 30 with a probability below 1e-4 at 7 degrees of freedom or fewer.
    assert chi_square < 30


def test_the_log_probability_is_that_of_the_unmodified_model() -> None:
    tokens, logprobs = draw(0.5, 3, 0.9)
    np.testing.assert_allclose(logprobs, np.log(PROBABILITIES)[tokens], atol=1e-5)


def test_temperature_zero_takes_the_likeliest() -> None:
    tokens, _ = draw(0.0, 0, 1.0)
    assert set(tokens) == {int(LOGITS.argmax())}


def test_a_tiny_temperature_takes_the_likeliest_and_no_nan() -> None:
    tokens, logprobs = draw(1e-38, 0, 0.5)
    assert set(tokens) == {int(LOGITS.argmax())}
    assert np.isfinite(logprobs).all()


def test_random_numbers_are_uniform_and_independent_across_seeds_and_steps() -> None:
    noise = uniforms(tf.range(300, dtype=tf.int64), tf.constant(300)).numpy()
    assert noise.min() >= 0
    assert noise.max() < 1
    counts = np.histogram(noise, bins=100, range=(0, 1))[0]
    wanted = noise.size / 100
    # Degrees of freedom: 99; above 170 with a probability below 1e-4.
    assert ((counts - wanted) ** 2 / wanted).sum() < 170
    for neighbour in (noise[1:], noise[:, 1:]):
        base = noise[: neighbour.shape[0], : neighbour.shape[1]]
        assert abs(np.corrcoef(base.ravel(), neighbour.ravel())[0, 1]) < 0.015


def test_a_random_number_depends_on_its_seed_and_step_alone() -> None:
    seeds = tf.constant([5, -1, 2**62], tf.int64)
    together = uniforms(seeds, tf.constant(9)).numpy()
    alone = uniforms(seeds[1:2], tf.constant(4)).numpy()
    np.testing.assert_array_equal(together[:4, 1:2], alone)
