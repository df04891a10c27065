"""Arms of a rollout: shares, stickiness, what a request asks for, and labels that are not there."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.gateway.routing import CANARY, STABLE, Route, Router
from serving.store import open_store


@dataclasses.dataclass(frozen=True)
class Active:
    """The part of a rollout that routing reads."""

    id: str
    share: float
    state: str = "canary"


def router(share: float, rollout: str = "one") -> Any:
    made = Router(None)
    made.update("text", Active(rollout, share))  # type: ignore[arg-type]
    return made


def arms(made: Any, callers: int = 4000) -> list[str]:
    return [made.route("text", None, None, f"caller {number}").arm for number in range(callers)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_canary_gets_its_share(share: float) -> None:
    found = arms(router(share), 10_000).count(CANARY) / 10_000
    assert found == pytest.approx(share, abs=4 * (share * (1 - share) / 10_000) ** 0.5)


def test_the_ends_of_the_share_are_exact() -> None:
    assert set(arms(router(0.0))) == {STABLE}
    assert set(arms(router(1.0))) == {CANARY}


def test_a_caller_keeps_its_arm_and_a_growing_share_moves_nobody_back() -> None:
    small, large = arms(router(0.2)), arms(router(0.4))
    assert small == arms(router(0.2))
    assert all(
        after == CANARY for before, after in zip(small, large, strict=True) if before == CANARY
    )


def test_another_rollout_draws_anew() -> None:
    first, second = arms(router(0.5)), arms(router(0.5, "two"))
    same = sum(one == two for one, two in zip(first, second, strict=True)) / len(first)
    assert same == pytest.approx(0.5, abs=0.04)


def test_what_a_request_asks_for_wins() -> None:
    made = router(1.0)
    assert made.route("text", 3, None, "x") == Route(3, None, "")
    assert made.route("text", None, "stable", "x") == Route(None, "stable", "")


def test_without_a_rollout_it_is_the_default() -> None:
    assert Router(None).route("text", None, None, "x") == Route()
    assert Router("stable").route("text", None, None, "x") == Route(label="stable")
    ended = router(1.0)
    ended.update("text", None)
    assert ended.route("text", None, None, "x") == Route()


def test_only_an_arm_falls_back() -> None:
    made = router(0.5)
    assert made.fallback(Route(label=CANARY, arm=CANARY)) == Route(label=STABLE, arm=STABLE)
    assert made.fallback(Route(label=STABLE, arm=STABLE)) == Route()
    assert made.fallback(Route(label="mine")) is None


@pytest.fixture
def rollout(server: Any, start_gateway: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """A gateway whose store has an active rollout; the server behind it has no labels."""
    gateway = start_gateway(server.address, "--rollout-poll-seconds=0.1", "--flush-seconds=0.05")
    store = open_store(gateway.store)
    store.rollouts.create(
        "text", stable_version=3, candidate_version=4, state="canary", share=1.0, settings={}
    )
    yield gateway, store
    store.close()


SHARE = 'loomline_gateway_rollout_share{model="text"}'


def test_requests_are_answered_while_an_arm_has_no_label_yet(
    rollout: tuple[Any, Any], until: Callable[..., None]
) -> None:
    gateway, _ = rollout
    until(lambda: gateway.metric(SHARE) == 1)
    reply = gateway.generate("x")
    assert (reply.status_code, reply.json()["version"], reply.json()["arm"]) == (200, 3, "")
    assert gateway.events("x")[-1][0] == "done"
    # What a request names itself is not replaced.
    assert gateway.generate("x", label="canary").status_code in (400, 404)


def test_the_last_known_rollout_stays_in_force_while_the_database_is_down(
    rollout: tuple[Any, Any], until: Callable[..., None]
) -> None:
    gateway, store = rollout
    until(lambda: gateway.metric(SHARE) == 1)
    path = store._engine.url.database
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE rollouts RENAME TO hidden")
        until(lambda: "keeping the last known" in gateway.log.read_text("utf-8"))
        assert gateway.metric(SHARE) == 1
        connection.execute("ALTER TABLE hidden RENAME TO rollouts")
    active = store.rollouts.active("text")
    store.rollouts.update(
        dataclasses.replace(active, state="cancelled", share=0.0), expected_state="canary"
    )
    until(lambda: gateway.metric(SHARE) == 0)
