"""What `make bench NAME=drift` says of each method, on tables that are small."""

from __future__ import annotations

import statistics

import pytest

from benchmarks.drift import COLUMNS, EFFECTS, METHODS, simulations


@pytest.mark.slow
def test_verdicts_on_a_sample_are_those_on_all_rows_and_the_truth() -> None:
    found = simulations(rows=40_000, repeats=1, reports=1)
    assert set(found) == set(METHODS)
    for method, one in found.items():
        assert len(one["agreed"]) == 3 * COLUMNS
        # Some of the tables moved anyhow may lie just beside a threshold.
        assert statistics.mean(one["agreed"]) > 0.9, method
        assert all(one["agreed", "free"]), method
        assert [len(one["power", effect]) for effect in EFFECTS] == [3, 3, 3]
        # By half a deviation and more, every method finds all of them.
        assert all(one["power", 0.5]), method
        assert all(one["power", 1.0]), method
    assert all(found["wasserstein"]["power", 0.2])
    assert all(found["ks"]["power", 0.2])
    assert not all(found["psi"]["power", 0.2])  # Its threshold of 0.1 is more than that.
