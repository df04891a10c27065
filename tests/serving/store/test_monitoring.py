"""Monitorings are kept in order; retrainings start one at a time, within cool-down and budget."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serving.store import Monitoring, Retraining, RetrainingLimits, Store, StoreError, open_store
from serving.store.ages import Moment
from serving.store.errors import ConflictError

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = RetrainingLimits(cool_down=6 * HOUR, period=timedelta(days=7))


def at(hours: float, *, wall: datetime = NOON, boot: str = "a") -> Moment:
    """So many hours after noon; by the machine's own clock, too, whatever the wall's says."""
    return Moment(wall if wall != NOON else NOON + hours * HOUR, boot, 1000 + hours * 3600)


def add(store: Store, model: str = "text", **changed: Any) -> Monitoring:
    values: dict[str, Any] = {
        "window": (NOON - HOUR, NOON),
        "requests": 100,
        "verdict": "retrain",
        "reason": "drift.prompt.drift_share: 0.7 is above 0.3",
        "figures": {"drift.prompt.drift_share": 0.7},
        "report": "/runs/monitoring/1",
    }
    return store.monitoring.add(model, **{**values, **changed})


def begin(store: Store, now: Moment, limits: RetrainingLimits = LIMITS, **more: Any) -> Retraining:
    return store.monitoring.begin_retraining(
        "text", reason="prompts drifted", limits=limits, now=now, **more
    )


def test_monitorings_come_back_newest_first_and_whole(store: Store) -> None:
    first = add(store, figures={"latency.p95_ms": 12.5, "odd": float("nan")}, created=NOON)
    assert first.figures == {"latency.p95_ms": 12.5, "odd": None}
    # The clock was set back before the second one was written, which is the newer all the same.
    second = add(store, created=NOON - HOUR, verdict="ok")
    other = add(store, "image", verdict="insufficient")
    assert store.monitoring.recent("text") == [second, first]
    assert store.monitoring.recent("text", 1) == [second]
    assert store.monitoring.latest() == [other, second]
    assert store.monitoring.latest("text") == [second]
    assert store.monitoring.latest("none") == []


def test_an_unknown_verdict_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="verdict"):
        add(store, verdict="fine")


def test_a_retraining_is_followed_from_start_to_end(store: Store) -> None:
    found = add(store)
    started = begin(store, at(0), monitoring_id=found.id, expected_cpu_seconds=60)
    assert (started.state, started.monitoring_id, started.created) == ("started", found.id, NOON)
    named = store.monitoring.name_retraining(started, "20261123-120000")
    assert store.monitoring.retrainings("text") == [named]
    ended = store.monitoring.end_retraining(named, succeeded=True, details={"cpu_seconds": 55.5})
    assert (ended.state, ended.run) == ("succeeded", "20261123-120000")
    assert store.monitoring.retrainings() == [ended]
    assert store.monitoring.retrainings("image") == []
    assert store.monitoring.retrainings("text", NOON + HOUR) == []
    with pytest.raises(ConflictError, match="under way"):
        store.monitoring.end_retraining(named, succeeded=False)


def test_the_cool_down_counts_from_the_start_even_of_one_that_failed(store: Store) -> None:
    store.monitoring.end_retraining(begin(store, at(0)), succeeded=False)
    refused = begin(store, at(5.9))
    assert refused.state == "refused"
    assert refused.details["refusal"] == (
        "cool-down: the last one started 5.9 h ago, and 6 h must pass"
    )
    # Being refused does not lengthen it.
    assert begin(store, at(6)).state == "started"


def test_models_do_not_wait_for_each_other(store: Store) -> None:
    begin(store, at(0))
    others = store.monitoring.begin_retraining("image", reason="", limits=LIMITS, now=at(0))
    assert others.state == "started"


def test_one_under_way_holds_the_next_until_it_counts_as_lost(store: Store) -> None:
    begin(store, at(0))
    assert "still under way" in begin(store, at(7)).details["refusal"]
    assert begin(store, at(24)).state == "started"


def test_the_budget_counts_runs_and_what_they_took(store: Store) -> None:
    limits = RetrainingLimits(timedelta(), timedelta(days=7), runs=2, cpu_seconds=100)
    first = begin(store, at(0), limits, expected_cpu_seconds=90)
    store.monitoring.end_retraining(first, succeeded=True, details={"cpu_seconds": 30})
    second = begin(store, at(1), limits, expected_cpu_seconds=70)
    assert second.state == "started"
    store.monitoring.end_retraining(second, succeeded=False)
    # Nobody knows what the failed one took, so what it was expected to counts.
    refusal = begin(store, at(2), limits, expected_cpu_seconds=1).details["refusal"]
    assert refusal == "budget: 2 of 2 runs were started within 7 days"
    assert (
        "budget"
        in begin(store, at(7 * 24 + 0.5), limits, expected_cpu_seconds=31).details["refusal"]
    )
    assert begin(store, at(7 * 24 + 0.5), limits, expected_cpu_seconds=30).state == "started"


def test_a_clock_set_forward_does_not_end_the_cool_down(store: Store) -> None:
    store.monitoring.end_retraining(begin(store, at(0)), succeeded=True)
    ahead = at(1, wall=NOON + timedelta(days=365))
    refusal = begin(store, ahead).details["refusal"]
    assert "60 min ago" in refusal
    assert "the clock was set by 365 days meanwhile" in refusal
    assert begin(store, at(6, wall=NOON + timedelta(days=365))).state == "started"


def test_a_clock_set_back_neither_ends_the_cool_down_nor_makes_it_last(store: Store) -> None:
    ahead = at(0, wall=NOON + timedelta(days=365))
    store.monitoring.end_retraining(begin(store, ahead), succeeded=True)
    assert begin(store, at(1)).state == "refused"
    assert begin(store, at(6)).state == "started"


def test_on_another_machine_a_start_in_the_future_delays_by_one_cool_down(store: Store) -> None:
    ahead = at(0, wall=NOON + timedelta(days=365))
    store.monitoring.end_retraining(begin(store, ahead), succeeded=True)
    assert begin(store, at(1, boot="b")).state == "refused"
    assert begin(store, at(6, boot="c")).state == "refused"
    assert begin(store, at(7, boot="d")).state == "started"


def test_a_clock_set_back_for_a_while_does_not_end_the_cool_down(store: Store) -> None:
    store.monitoring.end_retraining(begin(store, at(0)), succeeded=True)
    behind = at(1, wall=NOON - timedelta(days=365), boot="b")
    assert begin(store, behind).state == "refused"
    assert begin(store, at(2, boot="c")).state == "refused"
    assert begin(store, at(6, boot="d")).state == "started"


def test_of_monitors_that_ask_at_once_one_gets_a_start(store: Store, url: str) -> None:
    ready = threading.Barrier(6)
    states: list[str] = []

    def ask() -> None:
        own = open_store(url)
        ready.wait()
        states.append(begin(own, at(0)).state)
        own.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["refused"] * 5 + ["started"]


def test_this_moment_has_both_clocks() -> None:
    earlier, later = Moment.now(), Moment.now()
    assert later.boot == earlier.boot != ""
    assert timedelta() <= later.since(earlier) < timedelta(minutes=1)
    assert earlier.since(later) < timedelta(minutes=1)
    assert Moment.of(NOON, None).since(Moment.of(NOON - HOUR, {"boot": 1})) == HOUR
