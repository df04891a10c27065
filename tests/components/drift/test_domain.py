"""A classifier finds drift that no single column shows, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from components.drift.domain import THRESHOLD, DomainTest, domain_test, table_features
from components.drift.sides import Descriptor, Measured

NUMBER = Descriptor("x", "x")
CATEGORY = Descriptor("c", "c", categorical=True)


def _test(reference: np.ndarray, current: np.ndarray) -> DomainTest | None:
    one, two = (Measured([NUMBER], [side[:, 0]], side) for side in (reference, current))
    return domain_test(one, two)


def test_a_shift_of_many_features_at_once_is_found() -> None:
    rng = np.random.default_rng(0)
    found = _test(rng.normal(size=(400, 20)), rng.normal(0.25, 1, (300, 20)))
    assert found is not None
    assert found.drifted
    # Of normal sides, the best classifier's area follows from the distance: here about 0.79.
    assert found.auc == pytest.approx(0.77, abs=0.04)
    assert found.low < found.auc < found.high
    assert found.rows == 300


def test_rows_that_both_sides_hold_hide_no_shift_of_the_others() -> None:
    """As in successive versions of a data set, most of whose rows are the same."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 20))
    same = _test(shared, rng.permutation(shared))
    assert same is not None
    assert same.auc == pytest.approx(0.5, abs=0.05)
    assert not same.drifted
    before, after = rng.normal(size=(200, 20)), rng.normal(0.4, 1, (200, 20))
    moved = _test(np.concatenate([shared, before]), np.concatenate([shared, after]))
    assert moved is not None
    assert moved.drifted


def test_false_alarms_are_few_for_few_rows_too() -> None:
    rng = np.random.default_rng(0)
    tests = [_test(rng.normal(size=(60, 30)), rng.normal(size=(40, 30))) for _ in range(40)]
    assert sum(test is not None and test.drifted for test in tests) <= 6
    areas = [test.auc for test in tests if test]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)
    assert all(test.limit >= THRESHOLD for test in tests if test)


def test_features_that_never_vary_tell_nothing() -> None:
    found = _test(np.ones((50, 3)), np.ones((50, 3)))
    assert found is not None
    assert (found.auc, found.drifted) == (0.5, False)


def test_too_few_rows_or_no_features_are_no_test() -> None:
    assert _test(np.ones((9, 3)), np.ones((50, 3))) is None
    plain = Measured([NUMBER], [np.ones(50)])
    assert domain_test(plain, plain) is None


def test_columns_of_any_kind_become_features() -> None:
    """A bulge in the middle moves no mean; a linear classifier sees it in the bins."""
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(0, 1, 500), rng.normal(0, 0.3, 500)
    gaps = np.where(rng.random(500) < 0.5, np.nan, wide)
    words = np.array(list("ab") * 250, object)
    other = np.array(list("ac") * 250, object)
    for descriptor, before, after in (
        (NUMBER, wide, narrow),
        (NUMBER, wide, gaps),
        (CATEGORY, words, other),
    ):
        one, two = table_features([descriptor], [before], [after])
        assert np.isfinite(one).all()
        assert set(np.unique(one)) <= {0.0, 1.0}
        found = domain_test(
            Measured([descriptor], [before], one), Measured([descriptor], [after], two)
        )
        assert found is not None
        assert found.auc > 0.65
