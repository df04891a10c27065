"""The day from which on a measure has been elsewhere."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from components.drift.onset import SLICES, onset, slices
from components.drift.scoring import Method


def days(count: int, each: int) -> list[str]:
    first = dt.date(2026, 1, 1)
    return [
        (first + dt.timedelta(days=day)).isoformat() for day in range(count) for _ in range(each)
    ]


def test_slices_hold_whole_days_and_like_numbers_of_rows() -> None:
    times = days(120, 10)
    mixed = np.random.default_rng(0).permutation(len(times))
    found = slices([times[place] for place in mixed])
    assert len(found) == SLICES
    assert [len(places) for _, places in found] == [100] * SLICES
    assert [first for first, _ in found] == [times[start] for start in range(0, 1200, 100)]
    for first, places in found:
        assert min(times[mixed[place]] for place in places) == first


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ([], 0),
        ([""] * 500, 0),
        (["2026-01-01"] * 500, 0),
        (days(2, 40), 0),
        (days(2, 60), 2),
        ([*days(2, 60), *[""] * 60], 2),
        (days(10, 17), 3),
    ],
)
def test_too_few_rows_or_days_are_not_cut(times: list[str], count: int) -> None:
    found = slices(times)
    assert len(found) == count
    assert all(len(places) >= 50 for _, places in found)


@pytest.mark.parametrize("method", ["wasserstein", "ks", "psi", "jensenshannon"])
def test_the_day_of_a_planted_shift_is_found(method: str) -> None:
    rng, times = np.random.default_rng(1), np.array(days(120, 10))
    judged = Method(method, False, "here")
    before = rng.normal(size=3000)
    for planted in ("2026-01-01", "2026-02-10", "2026-04-11"):
        after = rng.normal(size=len(times)) + 1.5 * (times >= planted)
        found = onset(judged, judged.threshold, before, after, slices(list(times)))
        assert found is not None
        apart = dt.date.fromisoformat(found) - dt.date.fromisoformat(planted)
        # To the slice, which is ten days.
        assert abs(apart.days) <= 10, (planted, found)


def test_categories_are_followed_too() -> None:
    rng, times = np.random.default_rng(1), np.array(days(120, 10))
    judged = Method("jensenshannon", True, "here")
    before = rng.choice(["a", "b"], 3000).astype(object)
    after = np.where(
        (times >= "2026-03-02") & (rng.random(1200) < 0.8), "b", rng.choice(["a", "b"], 1200)
    )
    assert onset(judged, 0.1, before, after.astype(object), slices(list(times))) == "2026-03-02"


def test_without_a_shift_or_once_it_is_over_there_is_no_day() -> None:
    rng, times = np.random.default_rng(2), np.array(days(120, 10))
    judged, parts = Method("wasserstein", False, "here"), slices(days(120, 10))
    before = rng.normal(size=3000)
    alarms = [onset(judged, 0.1, before, rng.normal(size=len(times)), parts) for _ in range(20)]
    # One draw in a hundred passes the largest of 99.
    assert sum(alarm is not None for alarm in alarms) <= 2
    over = rng.normal(size=len(times)) + 2 * (times < "2026-02-10")
    assert onset(judged, 0.1, before, over, parts) is None
    gone = np.full(len(times), np.nan)
    assert onset(judged, 0.1, before, gone, parts) is None
    assert onset(judged, 0.1, before[:60], over, parts) is None
    assert onset(judged, 0.1, before, over, []) is None
