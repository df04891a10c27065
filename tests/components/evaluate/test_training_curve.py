"""The training curve from the model card, and when it may be carried on."""

from __future__ import annotations

import math

import pytest

from components.evaluate.training_curve import curve, extrapolate


def test_nats_per_token_become_bits_per_byte() -> None:
    card = {"history": [
        {"seconds": 20.0, "eval_loss": 2 * math.log(2)},
        {"seconds": 10.0, "eval_loss": 4 * math.log(2)},
        {"seconds": 15.0, "loss": 3.0},
        {"seconds": 30.0, "eval_loss": float("nan")},
    ]}  # fmt: skip
    assert curve(card, tokens_per_byte=0.25) == [
        (10.0, pytest.approx(1.0)),
        (20.0, pytest.approx(0.5)),
    ]
    assert curve({}, 1.0) == []


def test_a_power_law_is_carried_on_exactly() -> None:
    points = [(float(seconds), 5.0 * seconds**-0.2) for seconds in range(10, 110, 10)]
    found = extrapolate(points)
    assert found is not None
    assert found.seconds == pytest.approx(200.0)
    assert found.low == pytest.approx(5.0 * 200**-0.2)
    assert found.high == pytest.approx(found.low)
    assert found.points[0] == pytest.approx(points[-1])


def test_a_flattening_curve_gives_a_range() -> None:
    points = [(float(seconds), 1.5 + 5.0 * seconds**-0.5) for seconds in range(10, 110, 10)]
    found = extrapolate(points)
    assert found is not None
    assert found.low < found.high < points[-1][1]


def test_few_points_or_a_rise_are_not_carried_on() -> None:
    assert extrapolate([(1.0, 3.0), (2.0, 2.0), (3.0, 1.8)]) is None
    assert extrapolate([(float(place), 2.0 + place) for place in range(1, 10)]) is None
