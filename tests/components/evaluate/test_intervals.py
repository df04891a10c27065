"""Intervals cover as often as they promise, also with few documents."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluate.intervals import ClusterBootstrap, expanded_tail, mean, wilson


@pytest.mark.parametrize("clusters", [6, 30])
def test_the_interval_covers_the_truth_where_texts_of_a_document_resemble_each_other(
    clusters: int,
) -> None:
    draw = np.random.default_rng(clusters)
    names = [str(cluster) for cluster in range(clusters) for _ in range(20)]
    covered = 0
    for trial in range(300):
        shared = np.repeat(draw.normal(2.0, 0.3, clusters), 20)
        sizes = draw.integers(50, 150, clusters * 20)
        bits = sizes * (shared + draw.normal(0, 0.2, clusters * 20))
        found = ClusterBootstrap(names, 400, trial).ratio(bits, sizes)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 2.0 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_the_value_is_the_ratio_of_the_sums_and_differences_are_paired() -> None:
    draws = ClusterBootstrap(["a", "a", "b", "c"], 500, seed=0)
    ours, theirs, sizes = [10.0, 20.0, 30.0, 90.0], [11.0, 22.0, 33.0, 99.0], [10.0, 10, 10, 10]
    assert draws.ratio(ours, sizes).value == pytest.approx(150 / 40)
    difference = draws.ratio(np.subtract(ours, theirs), sizes)
    alone = draws.ratio(ours, sizes)
    assert difference.high is not None
    assert difference.low is not None
    assert alone.high is not None
    assert alone.low is not None
    assert difference.high < 0
    assert difference.high - difference.low < alone.high - alone.low
    assert difference.clusters == 3


def test_the_same_seed_gives_the_same_interval() -> None:
    values = list(np.random.default_rng(0).normal(size=50))
    assert mean(values, 200, 7) == mean(values, 200, 7)
    assert mean(values, 200, 7) != mean(values, 200, 8)


def test_one_document_gives_no_interval() -> None:
    found = ClusterBootstrap(["a", "a"], 100, 0).ratio([1.0, 2.0], [1.0, 1.0])
    assert (found.value, found.low, found.high) == (1.5, None, None)


def test_the_tail_shrinks_with_fewer_clusters() -> None:
    assert expanded_tail(7) < expanded_tail(100) < 0.025
    # Student's t for 6 degrees of freedom is 2.4469.
    assert expanded_tail(7) == pytest.approx(0.00411, abs=1e-4)


def test_wilson_stays_within_bounds_and_is_open_at_zero() -> None:
    none, all_of = wilson(0, 64), wilson(64, 64)
    assert none.low == 0.0
    assert none.high == pytest.approx(0.0566, abs=1e-3)
    assert all_of.high == pytest.approx(1.0)
    half = wilson(50, 100)
    assert (half.low, half.high) == (
        pytest.approx(0.4038, abs=1e-3),
        pytest.approx(0.5962, abs=1e-3),
    )
