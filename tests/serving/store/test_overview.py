"""Every model at a glance: what a person would otherwise look up in five tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from serving.store import Approval, RetrainingLimits, Run, Store, StoreError, Version

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def judge(store: Store, run: str, verdict: str, expires: datetime = NOON + 7 * DAY) -> None:
    approval = Approval(f"{run}-{verdict}", "text", run, verdict, "ada", "", NOON, expires, "{}")
    store.approvals.decide("text", run, NOON, lambda _: approval)


def test_of_a_store_without_anything_there_is_nothing_to_tell(store: Store) -> None:
    assert store.overview.read(NOON) == ([], 0)
    (one,), left_out = store.overview.read(NOON, always=["text"])
    assert (one.model, one.last_run, one.version, one.pending, left_out) == (
        "text",
        None,
        None,
        0,
        0,
    )
    assert (one.runs, one.monitoring, one.last_retraining) == ({}, None, None)


def test_the_newest_run_is_the_one_that_ended_last(store: Store, a_run: Callable[..., Run]) -> None:
    good = {"evaluation.bits_per_byte": 1.9}
    store.registry.record(a_run("b", finished=NOON, figures=good), Version("text", 1, "b", "", ""))
    store.registry.record(a_run("a", finished=NOON + DAY, outcome="failed", seconds=None))
    store.registry.record(a_run("z", finished=NOON, model="image", outcome="rejected"))
    (image, text), left_out = store.overview.read(NOON)
    assert left_out == 0
    assert image.model == "image"
    assert text.last_run is not None
    assert (text.last_run.run, text.last_run.outcome) == ("a", "failed")
    assert text.last_run.seconds is None
    assert text.succeeded == NOON
    assert text.runs == {"pushed": 1, "failed": 1}
    assert (text.version, text.version_figures) == (1, good)
    assert image.version is None
    assert image.succeeded == NOON


def test_the_version_of_a_run_that_is_not_in_the_registry_has_no_figures(
    store: Store, a_run: Callable[..., Run]
) -> None:
    store.registry.record(a_run("a"), Version("text", 7, "gone", "", ""))
    (text,), _ = store.overview.read(NOON)
    assert (text.version, text.version_figures) == (7, {})


def test_what_waits_is_a_pending_run_without_a_standing_verdict(
    store: Store, a_run: Callable[..., Run]
) -> None:
    for index, name in enumerate(("rejected", "approved", "expired", "waits", "waits-too")):
        store.registry.record(a_run(name, finished=NOON + index * DAY, outcome="pending"))
    judge(store, "rejected", "rejected", expires=NOON)
    judge(store, "approved", "approved")
    judge(store, "expired", "approved", expires=NOON + DAY)
    (text,), _ = store.overview.read(NOON + 2 * DAY)
    assert (text.pending, text.pending_since) == (3, NOON + 2 * DAY)


def test_monitorings_and_retrainings_are_told_of_by_the_order_of_writing(store: Store) -> None:
    window = (NOON - DAY, NOON)
    for verdict, created in (("ok", NOON + DAY), ("retrain", NOON)):  # a clock that was set back
        store.monitoring.add(
            "text",
            window=window,
            requests=9,
            verdict=verdict,
            reason="",
            figures={"drift.prompt.drift_share": 0.7},
            created=created,
        )
    once = RetrainingLimits(cool_down=timedelta(0), runs=1)
    first = store.monitoring.begin_retraining("text", reason="drift", limits=once)
    store.monitoring.end_retraining(first, succeeded=True)
    store.monitoring.begin_retraining("text", reason="drift", limits=once)
    (text,), _ = store.overview.read(NOON)
    assert text.monitoring is not None
    assert text.monitoring.verdict == "retrain"
    assert text.retrainings == {"succeeded": 1, "refused": 1}
    assert text.last_retraining is not None
    assert text.last_retraining.state == "refused"
    assert text.last_retraining.refusal.startswith("budget: 1 of 1 runs")


def test_only_so_many_models_are_told_of(store: Store, a_run: Callable[..., Run]) -> None:
    for index in range(5):
        store.registry.record(a_run("a", model=f"m{index}", finished=NOON + index * DAY))
    found, left_out = store.overview.read(NOON, always=["served"], most=3)
    assert [one.model for one in found] == ["m3", "m4", "served"]
    assert left_out == 3


def test_a_database_that_is_away_is_an_error(store: Store) -> None:
    store.close()
    with store._engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE runs")
        connection.commit()
    with pytest.raises(StoreError, match="failed"):
        store.overview.read(NOON)
