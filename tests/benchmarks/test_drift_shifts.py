"""Some of the shifts and shift-free reports that `make bench NAME=drift_shifts` looks at."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drift_shifts import alarms_of, look
from benchmarks.drift_worlds import WORLDS, World

FREE = 4


@pytest.fixture(scope="module", params=["text", "table", "image"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "image":
        from components.errors import DataError
        from components.ingest.image.fashion_mnist import FashionMnist

        try:
            FashionMnist("")
        except DataError as error:
            pytest.skip(str(error))
    return WORLDS[request.param]()


@pytest.mark.slow
def test_shifts_are_found(world: World) -> None:
    # The first and the last of real ones, and all planted ones.
    real = [shift for shift in world.shifts if not shift.planted]
    for shift in [*real[:1], *real[-1:], *(each for each in world.shifts if each.planted)]:
        found = look(world, {"data": shift.pair()})["data"]
        assert shift.found(found), f"{world.name}: {shift.name}"


@pytest.mark.slow
def test_reports_without_a_shift_raise_hardly_any_alarm(world: World) -> None:
    """Of 4 reports at a rate of 5%, more than 2 raise an alarm in one case of 2,000."""
    alarms = [alarms_of(world, np.random.default_rng([7, one])) for one in range(FREE)]
    assert sum(alarm["default"].raised for alarm in alarms) <= 2
    assert sum(alarm["chance"].raised for alarm in alarms) <= 2
