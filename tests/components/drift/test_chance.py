"""What chance gives is reckoned as if the division that was found were one of those at random."""

from __future__ import annotations

import numpy as np
import pytest

from components.drift.chance import DIVISIONS, beside_others


@pytest.mark.parametrize("shape", ["normal", "lognormal", "standard_cauchy"])
def test_an_extreme_division_is_measured_by_all_others(shape: str) -> None:
    scores = getattr(np.random.default_rng(3), shape)(size=DIVISIONS)
    most = scores.max()
    others = np.delete(scores, scores.argmax())
    by_all = (most - scores.mean()) / scores.std()
    expected = (most - others.mean()) / others.std()
    # At most twice as far, where it alone makes the deviation.
    assert beside_others(by_all) == pytest.approx(min(expected, 2 * by_all), rel=0.003)
    assert beside_others(by_all) > by_all


def test_one_division_that_alone_differs_does_not_put_the_limit_out_of_reach() -> None:
    scores = np.zeros(DIVISIONS)
    scores[7] = 1.0
    by_all = (1 - scores.mean()) / scores.std()
    assert by_all < beside_others(by_all) < 30
