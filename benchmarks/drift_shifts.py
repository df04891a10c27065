"""Whether drift is found where it is, and not where it is not, on text, tables and images.

Shifts that are truly there (addresses by era, flights by month) and shifts that are planted
(pictures made brighter, noisier, of other classes; flights delayed, unknown, renamed; texts in
lower case, mixed with another era's). And reports on data without any shift: one set of
documents, flights or pictures, divided at random into parts that are compared. Documents are
divided whole, because the paragraphs of one address resemble each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.common import conclude, print_table
from benchmarks.drift_worlds import SEED, WORLDS, Pair, Shift, World
from components.drift.detection import Comparison, compare
from components.drift.options import DriftOptions

RESAMPLES = 200
GOALS = {"planted_found": 1.0, "real_found": 1.0, "false_alarms": 0.05, "chance_alarms": 0.05}
DEFAULT = DriftOptions()
# Whether a report raises an alarm, by the default options; and by thresholds so low that chance
# alone sets the limits, which is harder.
LIMITS = {"default": "the default thresholds", "chance": "chance alone"}


def main() -> None:
    """Prints the figures, beside what the project aims at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="Reports without shift.")
    parser.add_argument("--only", choices=sorted(WORLDS), help="One kind of data only.")
    chosen = parser.parse_args()
    worlds = [build() for name, build in WORLDS.items() if chosen.only in (None, name)]
    found: dict[bool, list[bool]] = {True: [], False: []}
    moved: list[list[Any]] = []
    for world in worlds:
        for shift in world.shifts:
            comparison = look(world, {"data": shift.pair()})["data"]
            found[bool(shift.planted)].append(shift.found(comparison))
            moved.append(_row(world, shift, comparison))
    print_table(
        "shifts, by the default options",
        ["", "shift", "", "measures moved", "told by", "AUC", "limit", "verdict"],
        moved,
    )
    alarms: dict[str, list[bool]] = {limits: [] for limits in LIMITS}
    free = [row for world in worlds for row in _free(world, chosen.resamples, alarms)]
    print_table(
        f"{chosen.resamples} reports of two comparisons without any shift",
        ["", "limits", "reports with an alarm", "columns with one", "CPU seconds a report"],
        free,
    )
    figures: dict[str, float] = {}
    for planted, key in ((True, "planted_found"), (False, "real_found")):
        figures[key] = float(np.mean(found[planted])) if found[planted] else 1.0
    figures["false_alarms"] = float(np.mean(alarms["default"]))
    figures["chance_alarms"] = float(np.mean(alarms["chance"]))
    conclude("drift_shifts", figures, GOALS, lower_is_better=["false_alarms", "chance_alarms"])


def look(world: World, sides: dict[str, Pair]) -> dict[str, Comparison]:
    """A report's verdicts, without its pages."""
    return compare(sides, DEFAULT, None, list(sides) if world.by_document else [])


@dataclasses.dataclass(frozen=True)
class Alarms:
    """Of a report without a shift: whether it raises an alarm, and the share of columns that do."""

    raised: bool
    columns: float


def alarms_of(world: World, rng: np.random.Generator) -> Mapping[str, Alarms]:
    """One report's alarms for each of `LIMITS`.

    What chance gives does not depend on the thresholds, so one report tells of both.
    """
    report = look(world, world.free(rng)).values()
    columns = [column for comparison in report for column in comparison.columns]
    tests = [comparison.domain for comparison in report if comparison.domain is not None]
    # All scores are distances here; one that is no number counts as drift.
    passed = [not column.score <= column.chance for column in columns]
    assert not any(column.falling for column in columns)
    by_default = [column.drifted for column in columns]
    return {
        "default": Alarms(
            any(comparison.moved for comparison in report), float(np.mean(by_default))
        ),
        "chance": Alarms(
            any(passed) or any(test.auc > test.chance for test in tests), float(np.mean(passed))
        ),
    }


def _free(world: World, resamples: int, alarms: dict[str, list[bool]]) -> Iterator[list[Any]]:
    begun = time.process_time()
    told: list[Mapping[str, Alarms]] = []
    for resample in range(resamples):
        told.append(alarms_of(world, np.random.default_rng([SEED, resample])))
        if not len(told) % 20:
            raised = {limits: sum(each[limits].raised for each in told) for limits in LIMITS}
            print(f"progress: {world.name}: {raised} alarms in {len(told)} reports", flush=True)
    seconds = (time.process_time() - begun) / resamples
    for limits, what in LIMITS.items():
        alarms[limits] += [each[limits].raised for each in told]
        count = sum(each[limits].raised for each in told)
        columns = np.mean([each[limits].columns for each in told])
        yield [world.name, what, f"{count} of {resamples}", f"{columns:.2%}", seconds]


def _row(world: World, shift: Shift, comparison: Comparison) -> list[Any]:
    test, moved = comparison.domain, comparison.drifted
    return [
        world.name,
        shift.name,
        "planted" if shift.planted else "real",
        f"{len(moved)} of {len(comparison.columns)}",
        ", ".join(shift.told_by(comparison)),
        f"{test.auc:.2f}" if test else "",
        f"{test.limit:.2f}" if test else "",
        "found" if shift.found(comparison) else "MISSED",
    ]


if __name__ == "__main__":
    main()
