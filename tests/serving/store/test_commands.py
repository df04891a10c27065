"""Keys are made, listed and revoked by command; old requests go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from serving.store import RequestRecord, Store
from serving.store.commands import keys, purge


def call(group: object, *arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))  # type: ignore[arg-type]


def test_a_key_from_its_birth_to_its_end(store: Store, url: str) -> None:
    made = call(keys, "create", "the app", f"--store={url}", "--tokens-per-day=7", "--days=2")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    key = store.keys.find(secret)
    assert key is not None
    assert (key.name, key.tokens_per_day, key.admin) == ("the app", 7, False)
    assert key.problem(datetime.now(UTC)) is None
    assert key.problem(datetime.now(UTC) + timedelta(days=2)) is not None
    listed = call(keys, "list", f"--store={url}").output
    assert key.id in listed
    assert secret not in listed
    assert call(keys, "revoke", key.id, f"--store={url}").exit_code == 0
    assert "revoked" in call(keys, "list", f"--store={url}").output
    wrong = call(keys, "revoke", "nobody", f"--store={url}")
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "error: expected the id of a key (loomline keys list). Received: nobody\n"
    )


def test_old_requests_go(store: Store, url: str, record: Callable[..., RequestRecord]) -> None:
    store.requests.add([record("a", created=datetime.now(UTC) - timedelta(days=3)), record("b")])
    done = call(purge, f"--store={url}", "--days=2")
    assert "deleted 1 requests" in done.output
    assert [one.id for one in store.requests.recent(5)] == ["b"]


@pytest.mark.parametrize("days", ["nan", "1e12"])
def test_days_that_are_none_are_one_line(url: str, days: str) -> None:
    for done in (
        call(purge, f"--store={url}", f"--days={days}"),
        call(keys, "create", "x", f"--store={url}", f"--days={days}"),
    ):
        assert done.exit_code == 2
        assert done.stderr.startswith("error: expected fewer days")


def test_a_store_that_is_none_is_one_line() -> None:
    done = call(keys, "list", "--store=nothing")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: expected the store's URL as")
    assert done.stderr.count("\n") == 1
