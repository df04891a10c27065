"""Size and latency of a served model."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from components.evaluate import costs


def test_the_size_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"x" * 10)
    (tmp_path / "variables" / "data").write_bytes(b"x" * 32)
    assert costs.size(tmp_path).value == 42


@pytest.mark.parametrize("count", range(1, 60))
def test_the_interval_of_the_median_is_the_narrowest_that_is_sure_enough(count: int) -> None:
    low, middle, high = costs.median_interval(list(range(count)))
    assert middle == np.median(range(count))
    assert low + high == count - 1

    def sure(place: float) -> float:
        """That the median lies between the order statistics `place` and `count - 1 - place`."""
        return float(1 - 2 * binom.cdf(place, count, 0.5))

    if count >= 6:
        assert sure(low) >= 0.95
    if low + 1 < high - 1:
        assert sure(low + 1) < 0.95


def test_latency_is_the_median_and_leaves_the_first_calls_out() -> None:
    asked: list[int] = []

    def call(number: int) -> None:
        asked.append(number)
        time.sleep(0.3 if len(asked) <= 2 else 0.002)

    figure = costs.latency(call, "a call")
    assert figure.samples == len(asked) - 2 == 31
    assert figure.low is not None
    assert figure.high is not None
    assert 2 <= figure.low <= figure.value <= figure.high
    # A machine as busy as may be does not make a fifth of a second of two milliseconds.
    assert figure.value < 200


def test_slow_calls_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_SECONDS", 0.0)
    assert costs.latency(lambda _: time.sleep(0.001), "a call").samples == 6
