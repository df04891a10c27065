"""Intervals at another confidence hold what they say."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import norm

from components.artifacts import Figure
from components.evaluate.intervals import wilson as evaluated
from components.gate.confidence import at
from components.wilson import wilson

Z95 = norm.ppf(0.975)


@pytest.mark.parametrize(("share", "count"), [(0.0, 64), (1.0, 10), (0.3, 200), (1.0, 1)])
def test_a_share_gets_wilsons_interval(share: float, count: int) -> None:
    low, high = wilson(share, count, Z95)
    found = evaluated(round(share * count), count)
    assert (found.low, found.high) == pytest.approx((low, high))
    wider = at(Figure(share, low, high, count, "share"), 0.99)
    assert (wider.low, wider.high) == pytest.approx(wilson(share, count, norm.ppf(0.995)))
    assert (wider.value, wider.samples) == (share, count)


def test_wilsons_interval_covers_as_often_as_it_says() -> None:
    chance, truth, count = random.Random(0), 0.1, 200
    for confidence in (0.8, 0.95, 0.99):
        held = 0
        for _ in range(2000):
            share = sum(chance.random() < truth for _ in range(count)) / count
            low, high = wilson(share, count, Z95)
            found = at(Figure(share, low, high, count, "share"), confidence)
            assert found.low is not None
            assert found.high is not None
            held += found.low <= truth <= found.high
        # Three standard deviations of 2,000 draws, and what Wilson's interval is off by itself.
        assert held / 2000 == pytest.approx(confidence, abs=0.03)


def test_a_normal_interval_is_widened_by_its_quantiles() -> None:
    error = 0.1
    reported = Figure(2.0, 2.0 - Z95 * error, 2.0 + Z95 * error, 50, "nats")
    for confidence in (0.5, 0.8, 0.9, 0.99, 0.999):
        found = at(reported, confidence)
        z = norm.ppf(0.5 + confidence / 2)
        assert (found.low, found.high) == pytest.approx((2.0 - z * error, 2.0 + z * error))


def test_each_side_keeps_its_own_width_and_a_share_its_bounds() -> None:
    found = at(Figure(0.5, 0.45, 0.8, 50, "ratio"), 0.99)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - 0.5) / (0.5 - found.low) == pytest.approx(6.0)
    share = at(Figure(0.9, 0.7, 0.99, 50, "share"), 0.9999)
    assert (share.high, share.low) == (1.0, pytest.approx(0.9 - 0.2 * norm.ppf(0.99995) / Z95))


@pytest.mark.parametrize("figure", [Figure(1.0), Figure(math.nan, math.nan, math.nan, 3)])
def test_what_has_no_interval_gets_none(figure: Figure) -> None:
    found = at(figure, 0.99)
    assert repr(found) == repr(figure)
