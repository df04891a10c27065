"""Axes place values and name round ones."""

from __future__ import annotations

import pytest

from components.chart_axis import Axis


def test_a_linear_axis_names_round_values() -> None:
    axis = Axis([0.0, 9.7], log=False)
    assert axis.ticks() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert axis.percent(9.7 / 2) == pytest.approx(50.0)


def test_a_logarithmic_axis_names_decades_where_there_are_enough() -> None:
    axis = Axis([1.0, 10_000.0], log=True)
    assert axis.ticks() == [1.0, 10.0, 100.0, 1000.0, 10_000.0]
    assert axis.percent(100.0) == pytest.approx(50.0)
    assert not axis.has(0.0)


def test_a_narrow_logarithmic_axis_still_names_a_few_values() -> None:
    assert Axis([1.6, 4.5], log=True).ticks() == [2.0, 2.5, 3.0, 4.0]


def test_a_logarithmic_axis_between_two_steps_is_named_like_a_linear_one() -> None:
    assert Axis([1.55, 1.95], log=True).ticks() == [1.6, 1.7, 1.8, 1.9]


def test_equal_values_stand_in_the_middle() -> None:
    assert Axis([3.0, 3.0], log=False).percent(3.0) == pytest.approx(50.0)


def test_what_is_counted_is_named_by_whole_numbers() -> None:
    assert Axis([1.0, 2.0], log=False, whole=True).ticks() == [1.0, 2.0]
    assert Axis([3.0, 3.0], log=False, whole=True).ticks() == [3.0]
    assert Axis([1.0, 50.0], log=False, whole=True).ticks() == [10.0, 20.0, 30.0, 40.0, 50.0]
