"""Bounds hold at all times at once, and find what is there."""

from __future__ import annotations

import math
import random

import pytest

from serving.rollout.sequential import log_evidence, quantile_bounds, rate_bounds

ALPHA = 0.1


def test_the_evidence_against_the_truth_has_an_expectation_of_one() -> None:
    rate, trials = 0.3, 12
    expectation = sum(
        math.comb(trials, k)
        * rate**k
        * (1 - rate) ** (trials - k)
        * math.exp(log_evidence(k, trials, rate))
        for k in range(trials + 1)
    )
    assert expectation == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5])
def test_looking_after_every_request_seldom_excludes_the_truth(rate: float) -> None:
    luck = random.Random(7)
    runs, wrong = 300, 0
    for _ in range(runs):
        successes = 0
        for trial in range(1, 400):
            successes += luck.random() < rate
            if log_evidence(successes, trial, rate) >= -math.log(ALPHA):
                wrong += 1
                break
    # Two standard deviations above alpha, were the bound tight; it is not.
    assert wrong / runs < ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_naive_test_would_be_fooled_where_this_one_is_not() -> None:
    luck = random.Random(3)
    naive = 0
    for _ in range(200):
        successes = 0
        for trial in range(1, 400):
            successes += luck.random() < 0.5
            spread = math.sqrt(0.25 / trial)
            if trial > 20 and abs(successes / trial - 0.5) > 1.645 * spread:
                naive += 1
                break
    assert naive / 200 > 2 * ALPHA


def test_bounds_enclose_what_was_seen_and_narrow() -> None:
    assert rate_bounds(0, 0, ALPHA) == (0, 1)
    low, high = rate_bounds(0, 1000, ALPHA)
    assert low == 0
    assert 0.001 < high < 0.01
    low, high = rate_bounds(1000, 1000, ALPHA)
    assert high == 1
    assert 0.99 < low < 0.999
    widths = []
    for trials in (10, 100, 1000, 10_000):
        low, high = rate_bounds(trials // 5, trials, ALPHA)
        assert low < 0.2 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.035


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_bounds_of_a_quantile_hold_while_values_come(quantile: float) -> None:
    import bisect

    luck = random.Random(11)
    truth = -math.log(1 - quantile)
    runs, wrong = 120, 0
    for _ in range(runs):
        ordered: list[float] = []
        for count in range(1, 300):
            bisect.insort(ordered, luck.expovariate(1))
            if count % 3 == 0:
                low, high = quantile_bounds(ordered, quantile, ALPHA)
                if not low <= truth <= high:
                    wrong += 1
                    break
    assert wrong / runs < ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_bounds_of_a_quantile_are_open_at_first_and_then_close_in() -> None:
    assert quantile_bounds([], 0.9, ALPHA) == (0, math.inf)
    low, high = quantile_bounds([1.0, 2.0, 3.0], 0.9, ALPHA)
    assert high == math.inf
    assert low <= 3
    ordered = [rank / 10_000 for rank in range(10_000)]
    low, high = quantile_bounds(ordered, 0.9, ALPHA)
    assert 0.88 < low < 0.9 < high < 0.92
