"""What serves where is kept as periods, which gateways and rollouts bring up to date."""

from __future__ import annotations

import concurrent.futures
import threading
from datetime import UTC, datetime, timedelta

from serving.store import Deployment, Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_a_change_ends_a_period_and_begins_another(store: Store) -> None:
    table = store.deployments
    assert table.observe("a:8500", "text", {1: ["stable"]}, NOON)
    assert not table.observe("a:8500", "text", {1: ["stable"]}, NOON + MINUTE)
    assert table.observe("a:8500", "text", {1: ["stable"], 2: ["canary"]}, NOON + 2 * MINUTE)
    first = Deployment("a:8500", "text", 1, ["stable"], NOON, NOON + 2 * MINUTE, None)
    assert [one for one in table.current() if one.version == 1] == [first]
    assert table.observe("a:8500", "text", {2: ["stable"]}, NOON + 3 * MINUTE)
    now = NOON + 3 * MINUTE
    assert table.current() == [Deployment("a:8500", "text", 2, ["stable"], now, now, None)]
    assert [(one.labels, one.ended) for one in table.history("text", 2)] == [
        (["stable"], None),
        (["canary"], now),
    ]
    (ended,) = table.history("text", 1)
    assert (ended.since, ended.seen, ended.ended) == (NOON, NOON + 2 * MINUTE, now)


def test_servers_and_models_do_not_touch_each_other(store: Store) -> None:
    table = store.deployments
    table.observe("a:8500", "text", {1: []}, NOON)
    table.observe("b:8500", "text", {1: []}, NOON)
    table.observe("a:8500", "image", {7: []}, NOON)
    table.observe("b:8500", "text", {}, NOON + MINUTE)
    found = [(one.model, one.server, one.version) for one in table.current()]
    assert found == [("image", "a:8500", 7), ("text", "a:8500", 1)]
    assert [one.server for one in table.current(model="text")] == ["a:8500"]
    (ended,) = [one for one in table.history("text", 1) if one.server == "b:8500"]
    assert ended.ended == NOON + MINUTE


def test_what_nobody_saw_lately_is_not_called_current(store: Store) -> None:
    store.deployments.observe("a:8500", "text", {1: []}, NOON)
    (one,) = store.deployments.current()
    assert one.fresh(NOON + MINUTE)
    assert not one.fresh(NOON + timedelta(hours=1))


def test_a_clock_that_is_behind_takes_nothing_back(store: Store) -> None:
    store.deployments.observe("a:8500", "text", {1: []}, NOON)
    store.deployments.observe("a:8500", "text", {1: []}, NOON - timedelta(hours=1))
    store.deployments.observe("a:8500", "text", {2: []}, NOON - timedelta(hours=1))
    assert [one.since for one in store.deployments.current()] == [NOON]
    (ended,) = store.deployments.history("text", 1)
    assert (ended.seen, ended.ended) == (NOON, NOON)


def test_gateways_that_look_at_once_note_it_once(store: Store) -> None:
    barrier = threading.Barrier(4)

    def look(number: int) -> bool:
        barrier.wait()
        return store.deployments.observe("a:8500", "text", {1: ["stable"], 2: []}, NOON)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        changed = list(pool.map(look, range(4)))
    assert sorted(changed) == [False, False, False, True]
    assert len(store.deployments.current()) == 2
