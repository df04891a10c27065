"""Distances have the values that theory gives, and intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluate.image.distances import (
    covered,
    difference,
    frechet,
    kernel,
    nearest,
    reached_modes,
    shrunk_covariance,
    with_interval,
)


def normal(
    rows: int, features: int, seed: int, mean: float = 0.0, scale: float = 1.0
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(mean, scale, (rows, features))


def test_frechet_of_normal_samples_is_what_the_formula_gives() -> None:
    # |m|^2 = 8 * 0.25, and (2 - 1)^2 for each of the eight features.
    found = frechet(normal(20_000, 8, 1), normal(20_000, 8, 2, 0.5, 2.0))
    assert found == pytest.approx(8 * 0.25 + 8, rel=0.03)
    same = normal(500, 8, 3)
    assert frechet(same, same) == pytest.approx(0.0, abs=1e-6)


def test_shrinking_brings_few_rows_nearer_to_the_truth() -> None:
    first, second = normal(100, 64, 1), normal(100, 64, 2)
    covariances = [np.cov(side, rowvar=False) for side in (first, second)]
    values = np.linalg.eigvals(covariances[0] @ covariances[1])
    plain = np.sum((first.mean(0) - second.mean(0)) ** 2) + sum(map(np.trace, covariances))
    plain -= 2 * np.sqrt(np.clip(values.real, 0, None)).sum()
    # The truth is 0.
    assert 0 <= frechet(first, second) < plain / 2


def test_the_shrunk_covariance_is_that_of_ledoit_and_wolf() -> None:
    from sklearn.covariance import ledoit_wolf

    for rows in (20, 500):
        features = normal(rows, 6, rows) * np.arange(1, 7) + 3.0
        assert shrunk_covariance(features) == pytest.approx(ledoit_wolf(features)[0])
    assert shrunk_covariance(np.ones((5, 3))) == pytest.approx(np.zeros((3, 3)))


def test_kernel_distance_is_unbiased_and_grows_with_distance() -> None:
    alike = [kernel(normal(200, 8, seed), normal(200, 8, seed + 100)) for seed in range(40)]
    error = np.std(alike) / np.sqrt(len(alike))
    assert abs(np.mean(alike)) < 3 * error
    assert min(alike) < 0
    apart = [kernel(normal(200, 8, 1), normal(200, 8, 2, shift)) for shift in (0.3, 0.6)]
    assert 5 * error < apart[0] < apart[1]


def test_the_interval_holds_the_distance_of_new_samples() -> None:
    found = with_interval(kernel, normal(200, 4, 1), normal(200, 4, 2, 0.5), 100, 0)
    fresh = [kernel(normal(200, 4, seed), normal(200, 4, seed + 1, 0.5)) for seed in range(10, 90)]
    width = found.high - found.low
    assert found.low < found.value < found.high
    # As wide as distances truly scatter, within what 80 of them tell.
    assert 0.6 < width / np.subtract(*np.quantile(fresh, [0.975, 0.025])) < 1.6


def test_what_pairs_have_in_common_cancels_out_of_the_difference() -> None:
    real, first = normal(400, 4, 1), normal(400, 4, 2, 0.5)
    other = first + 0.1
    paired = difference(frechet, first, other, real, 60, 0)
    assert paired.value == pytest.approx(frechet(first, real) - frechet(other, real))
    assert paired.high < 0
    alone = with_interval(frechet, first, real, 60, 0)
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_precision_and_recall_tell_a_narrow_model_from_a_wide_one() -> None:
    real = normal(500, 4, 1)
    narrow, wide = normal(500, 4, 2, scale=0.3), normal(500, 4, 3, scale=3.0)
    assert covered(narrow, real, 3).mean() > 0.95
    assert covered(real, narrow, 3).mean() < 0.4
    assert covered(wide, real, 3).mean() < 0.4
    assert covered(real, wide, 3).mean() > 0.9


def test_reach_is_the_distance_to_the_chosen_neighbour() -> None:
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    points = np.array([[-1.5], [9.0], [12.0]])
    assert covered(points, line, 1).tolist() == [False, True, False]
    assert covered(points, line, 2).tolist() == [True, True, True]


def test_a_mode_that_is_never_drawn_is_missed() -> None:
    centres = 20 * np.eye(4)
    real = np.concatenate([normal(100, 4, place) + centre for place, centre in enumerate(centres)])
    made = np.concatenate([normal(100, 4, place) + centres[place] for place in (5 % 4, 2, 3)])
    assert reached_modes(real, real, 4, 0) == (4, 4)
    assert reached_modes(made, real, 4, 0) == (3, 4)
    assert reached_modes(real[:5], real[:30], 100, 0)[1] == 3


def test_the_nearest_row_and_the_nearest_other_row() -> None:
    line = np.array([[0.0], [1.0], [3.0]])
    places, gaps = nearest(np.array([[2.9], [0.2]]), line)
    assert places.tolist() == [2, 0]
    assert gaps == pytest.approx([0.1, 0.2])
    places, gaps = nearest(line, line, skip_itself=True)
    assert places.tolist() == [1, 0, 1]
    assert gaps == pytest.approx([1.0, 1.0, 2.0])
