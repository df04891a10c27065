"""Numbers are written so that nobody has to count the zeros of an exponent."""

from __future__ import annotations

import math

import pytest

from components.amounts import plain, with_unit


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.54546, "0.5455"),
        (-0.024671, "-0.02467"),
        (0.000067049, "0.00006705"),
        (2.5e-9, "0.0000000025"),
        (1e-12, "1e-12"),
        (4019.4, "4019"),
        (9999.7, "10,000"),
        (6_265_113.0, "6,265,113"),
        (-2e9, "-2,000,000,000"),
        (3e20, "3e+20"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_four_digits_that_matter_without_an_exponent(value: float, shown: str) -> None:
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (6_265_113.0, "bytes", "6.27 MB"),
        (2e9, "bytes", "2 GB"),
        (1500.0, "bytes", "1.5 kB"),
        (12.0, "bytes", "12 bytes"),
        (math.nan, "bytes", "nan bytes"),
        (48.03, "ms", "48.03 ms"),
        (0.05, "share", "0.05"),
        (0.05, "", "0.05"),
    ],
)
def test_bytes_are_told_in_the_largest_unit_that_they_fill(
    value: float, unit: str, shown: str
) -> None:
    assert with_unit(value, unit) == shown
