"""Charts drawn from the values, whatever the values are."""

from __future__ import annotations

import re

import pytest

from components import page


def test_bars_are_as_long_as_their_values() -> None:
    drawn = page.bar_chart([page.Bar("a", 4.0), page.Bar("b", 1.0), page.Bar("c", float("nan"))])
    widths = [
        float(width)
        for width in re.findall(r'class="bar" style="left:[\d.]+%;width:([\d.]+)%', drawn)
    ]
    assert len(widths) == 2
    assert widths[0] == pytest.approx(4 * widths[1], rel=1e-3)
    assert "–" in drawn


def test_negative_bars_start_at_zero_too() -> None:
    drawn = page.bar_chart([page.Bar("a", -1.0, -1.5, -0.5), page.Bar("b", 1.0)])
    (left, width), (zero, _) = re.findall(
        r'class="bar" style="left:([\d.]+)%;width:([\d.]+)%', drawn
    )
    assert float(left) + float(width) == pytest.approx(float(zero), abs=0.01)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(0.001, 0.0012), (1.0, 9.0), (5.0, 5.0), (3.0, 40_000.0)])
def test_line_charts_have_a_few_ticks_inside_the_plot(
    log: bool, values: tuple[float, float]
) -> None:
    points = [(values[0], 1.0), (values[1], 2.0)]
    drawn = page.line_chart([page.Line("a", points)], log_x=log, log_y=log)
    ticks = [float(left) for left in re.findall(r'class="x" style="left:(-?[\d.]+)%', drawn)]
    assert 1 <= len(ticks) <= 14
    assert all(-0.1 <= tick <= 100.1 for tick in ticks)


def test_line_charts_leave_out_what_cannot_be_drawn() -> None:
    nothing = page.line_chart([page.Line("a", [(0.0, 1.0), (1.0, float("nan"))])], log_x=True)
    assert "Nothing was recorded" in nothing
    line = page.Line("a", [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)])
    drawn = page.line_chart([line], log_x=True, log_y=True, marks=[page.Mark("m", 0)])
    assert "nan" not in drawn


def test_histograms_scale_both_sides_to_shares() -> None:
    few = page.histogram_pair("t", [0, 1, 2], [1, 3], [1, 3])
    many = page.histogram_pair("t", [0, 1, 2], [1, 3], [1000, 3000])
    assert few == many
    assert "No values" in page.histogram_of("t", [], [float("nan")])
    assert page.histogram_of("t", [1.0, 1.0], [1.0])
