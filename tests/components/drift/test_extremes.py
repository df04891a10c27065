"""Scores of light and of heavy tails are taken alike, and each division by all others."""

from __future__ import annotations

import numpy as np
import pytest

from components.drift.extremes import moments, most_extreme

DIVISIONS = 299


@pytest.mark.parametrize("shape", ["normal", "lognormal", "standard_cauchy"])
def test_an_extreme_division_is_measured_by_all_others(shape: str) -> None:
    scores = getattr(np.random.default_rng(3), shape)(size=(DIVISIONS, 1)) + 1000
    place = int(scores.argmax())
    expected = moments(np.delete(scores, place, axis=0)).extremeness(scores[place])
    by_all = moments(scores).extremeness(scores[place])
    if shape != "standard_cauchy":  # One of these alone makes nearly all of the deviation.
        assert most_extreme(scores)[place] == pytest.approx(expected[0], rel=1e-6)
    assert most_extreme(scores)[place] > by_all


def test_a_score_is_as_far_out_as_the_same_share_of_normal_ones() -> None:
    rng = np.random.default_rng(5)
    # Of gamma distributions; the shape 0.5 is that of a squared normal number.
    scores = np.stack([rng.gamma(shape, 3.0, 200_000) for shape in (0.5, 1, 2, 8, 100)], axis=1)
    limits = moments(scores).strength(3.0)
    shares = (scores > limits).mean(axis=0)
    # 0.135% of normal ones pass three deviations. Without their skewness 1.4% of the first would.
    assert shares == pytest.approx(0.00135, rel=0.5)
    assert moments(scores).extremeness(limits) == pytest.approx(3.0)


def test_scores_that_fall_off_to_the_left_and_constant_ones_have_limits_too() -> None:
    rng = np.random.default_rng(6)
    scores = np.stack([-rng.exponential(size=DIVISIONS), np.full(DIVISIONS, 2.0)], axis=1)
    for out in (-2.0, 0.0, 2.0, 5.0):
        limits = moments(scores).strength(out)
        assert np.isfinite(limits).all()
        assert limits[1] == pytest.approx(2.0)
        assert moments(scores).extremeness(limits)[0] == pytest.approx(out)


def test_one_division_that_alone_differs_does_not_put_the_limit_out_of_reach() -> None:
    scores = np.zeros((DIVISIONS, 1))
    scores[7] = 1.0
    assert 5 < most_extreme(scores).max() < 30


def test_a_division_that_could_not_be_scored_says_nothing() -> None:
    scores = np.random.default_rng(8).normal(size=(DIVISIONS, 2))
    whole = moments(scores[9:])
    scores[:9, 0] = np.nan
    scores[:3] = np.nan
    assert moments(scores).mean[0] == pytest.approx(whole.mean[0])
    assert moments(scores).deviation[0] == pytest.approx(whole.deviation[0])
    assert np.isneginf(most_extreme(scores)[:3]).all()
    assert np.isfinite(most_extreme(scores)[3:]).all()
