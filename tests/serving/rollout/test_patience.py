"""A rollout that is being driven outlives a database that is gone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from serving import storage
from serving.rollout import controller
from serving.rollout.controller import Controller
from serving.store import Store, StoreError, open_store


@pytest.fixture
def store(postgresql: Any) -> Iterator[Store]:
    opened = open_store(postgresql.new_database())
    yield opened
    opened.close()


def test_it_tries_again_and_goes_on(world: Any, store: Store, postgresql: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    driver = Controller(store, controller.start(store, "text", 2, world.settings()))
    driver.advance()
    assert driver.rollout.state == "canary"
    postgresql.stop()
    back = threading.Timer(2.5, postgresql.start)
    back.start()
    said = []
    try:
        for line in driver.drive(0.1, patience_seconds=60):
            said.append(line)
            if line.startswith("20% of the requests"):
                break
    finally:
        back.join()
    assert said[0].startswith("trying again in 1 s, for 60 s yet: the store ")
    assert "waiting for at least" in said[-1]
    assert all("\n" not in line for line in said)
    driver.roll_back("enough seen")
    list(driver.drive(0))
    assert store.rollouts.list()[0].state == "rolled_back"


def test_it_gives_up_after_the_stated_time(world: Any, store: Store, postgresql: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    driver = Controller(store, controller.start(store, "text", 2, world.settings()))
    postgresql.stop()
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match="to answer again within 2 s") as caught:
            list(driver.drive(0.1, patience_seconds=2))
        assert 2 <= time.monotonic() - began < 20
        assert "\n" not in str(caught.value)
        assert "loomline rollout watch" in str(caught.value)
        with pytest.raises(StoreError):
            list(driver.drive(0.1))
    finally:
        postgresql.start()
    assert store.rollouts.active("text") is not None
