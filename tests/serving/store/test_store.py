"""What is written is there, once, whole, in both databases, whoever writes at the same time."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serving.store import (
    Feedback,
    RequestRecord,
    Store,
    StoreError,
    UnknownRequestError,
    open_store,
)
from serving.store.errors import ConflictError

Record = Callable[..., RequestRecord]
NOW = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_record_comes_back_as_it_was_and_is_written_once(store: Store, record: Record) -> None:
    written = record("r1", created=NOW, outputs=None, first_token_ms=1.5, label="canary")
    store.requests.add([written, written])
    store.requests.add([dataclasses.replace(written, message="again")])
    assert store.requests.get("r1") == written
    assert store.requests.get("r2") is None
    store.requests.add([])


def test_texts_that_a_database_cannot_hold_are_mended(store: Store, record: Record) -> None:
    store.requests.add(
        [
            record("odd", inputs={"prompt": "a\0b\ud800", "x\0": [float("nan"), 1.5]}),
            record("long", signature="s" * 5000, client_request_id="c" * 5000),
        ]
    )
    odd, long = store.requests.get("odd"), store.requests.get("long")
    assert odd is not None
    assert odd.inputs["prompt"].startswith("a\N{REPLACEMENT CHARACTER}b")
    assert odd.inputs["x\N{REPLACEMENT CHARACTER}"] == [None, 1.5]
    assert long is not None
    assert long.signature == "s" * 200


def test_pages_hold_every_request_once_newest_first(store: Store, record: Record) -> None:
    # Three of each time: the order within a time must be stable, too.
    rows = [record(f"{n:03}", created=NOW + timedelta(seconds=n // 3)) for n in range(20)]
    store.requests.add(rows)
    seen: list[str] = []
    before = None
    while page := store.requests.recent(7, before=before):
        seen += [one.id for one in page]
        before = page[-1].id
    assert seen == sorted((one.id for one in rows), reverse=True)
    assert store.requests.recent(5, before="unknown") == []


def test_requests_are_found_by_key_and_model(store: Store, record: Record) -> None:
    store.requests.add([record("a", key_id="k"), record("b", model="image"), record("c")])
    assert [one.id for one in store.requests.recent(9, key_id="k")] == ["a"]
    assert [one.id for one in store.requests.recent(9, model="image")] == ["b"]


def test_outcomes_of_an_arm_hold_failures_without_a_version(store: Store, record: Record) -> None:
    rows = [
        record(f"{n:05}", created=NOW + timedelta(seconds=n), arm="canary") for n in range(2300)
    ]
    rows[7] = dataclasses.replace(rows[7], version=None, status="error", code="INTERNAL")
    store.requests.add([*rows, record("other", created=NOW, arm="stable")])
    found = list(store.requests.outcomes("text", NOW, arm="canary"))
    assert [one.id for one in found] == [one.id for one in rows]
    assert found[7].code == "INTERNAL"
    last = NOW + timedelta(seconds=2299)
    assert [one.id for one in store.requests.outcomes("text", last, arm="canary")] == ["02299"]
    assert [one.id for one in store.requests.outcomes("text", NOW, arm="stable")] == ["other"]


def test_feedback_is_stored_once_and_only_on_what_is_known(store: Store, record: Record) -> None:
    store.requests.add([record("a"), record("b")])
    given = Feedback("f1", "a", NOW, "preference", 1, None, "b", 0, "key")
    assert store.feedback.add(given) is True
    assert store.feedback.add(dataclasses.replace(given, value=-1)) is False
    assert store.feedback.of_request("a") == store.feedback.of_request("b") == [given]
    assert store.feedback.of_version("text", 1, NOW) == [given]
    assert store.feedback.of_version("text", 2, NOW) == []
    with pytest.raises(UnknownRequestError, match="'nobody'"):
        store.feedback.add(Feedback("f2", "nobody", NOW, "thumbs", 1))
    with pytest.raises(UnknownRequestError, match="'nobody'"):
        store.feedback.add(Feedback("f2", "a", NOW, "preference", 1, None, "nobody"))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("thumbs", 0, None),
        ("thumbs", None, None),
        ("rating", 6, None),
        ("rating", None, None),
        ("comment", None, None),
        ("edit", 1, "x"),
        ("preference", 1, None),
        ("praise", 1, "x"),
    ],
)
def test_the_database_itself_refuses_feedback_that_makes_no_sense(
    store: Store, record: Record, kind: str, value: int | None, text: str | None
) -> None:
    store.requests.add([record("a")])
    secret = Feedback("f", "a", NOW, kind, value, text or None)
    with pytest.raises(StoreError) as raised:
        store.feedback.add(secret)
    assert "\n" not in str(raised.value)
    assert store.feedback.of_request("a") == []


def test_an_error_does_not_quote_what_people_wrote(store: Store, record: Record) -> None:
    store.requests.add([record("a")])
    with pytest.raises(StoreError) as raised:
        store.feedback.add(Feedback("f", "a", NOW, "praise", 1, "a private remark"))
    assert "private" not in str(raised.value)
    assert "private" not in repr(raised.value.__cause__).replace("DETAIL", "")[:200]


def test_a_key_is_known_by_its_secret_alone(store: Store, url: str) -> None:
    key, secret = store.keys.create("mine", tokens_per_day=5, expires=NOW)
    assert store.keys.find(secret) == key
    assert store.keys.list() == [key]
    for wrong in (secret[:-1], secret + "x", "", key.prefix, key.id, "\ud800"):
        assert store.keys.find(wrong) is None
    assert key.problem(NOW - timedelta(seconds=1)) is None
    assert key.problem(NOW) == "the key expired on 2026-05-04"
    assert store.keys.revoke(key.id) is True
    revoked = store.keys.find(secret)
    assert revoked is not None
    assert "revoked" in str(revoked.problem(NOW - timedelta(days=1)))
    assert store.keys.revoke(key.id) is True
    assert store.keys.find(secret) == revoked
    assert store.keys.revoke("unknown") is False


def test_counts_that_many_add_to_at_once_are_right(store: Store) -> None:
    key, _ = store.keys.create("busy")
    day = NOW.date()

    def add() -> None:
        for _ in range(20):
            store.usage.add(key.id, day, 1, 3)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.usage.tokens_today(key.id, day) == 4 * 20 * 3
    assert store.usage.tokens_today(key.id, day + timedelta(days=1)) == 0


def begin(store: Store, model: str = "text") -> Any:
    return store.rollouts.create(
        model, stable_version=1, candidate_version=2, state="loading", settings={"a": [0.5]}
    )


def test_one_rollout_of_a_model_is_active(store: Store) -> None:
    first = begin(store)
    assert store.rollouts.active("text") == store.rollouts.get(first.id) == first
    with pytest.raises(ConflictError, match="expected no active rollout of text"):
        begin(store)
    begin(store, "image")
    with pytest.raises(StoreError) as raised:
        store.rollouts.create(
            "x", stable_version=1, candidate_version=2, state="s", settings={}, share=1.5
        )
    assert not isinstance(raised.value, ConflictError)
    over = dataclasses.replace(first, state="promoted")
    store.rollouts.update(over, expected_state="loading", event="promoted")
    assert store.rollouts.active("text") is None
    second = begin(store)
    assert [one.id for one in store.rollouts.list("text")] == [second.id, first.id]


def test_figures_that_are_no_numbers_do_not_stop_a_rollout(store: Store) -> None:
    odd = dataclasses.replace(begin(store), details={"low": float("-inf"), "said": "a\0"})
    store.rollouts.update(odd, expected_state="loading", event="x", event_details=odd.details)
    found = store.rollouts.get(odd.id)
    assert found is not None
    assert found.details == {"low": None, "said": "a\N{REPLACEMENT CHARACTER}"}


def test_two_that_change_a_rollout_do_not_overwrite_each_other(store: Store) -> None:
    read = begin(store)
    changed = dataclasses.replace(read, share=0.25, details={"step": 1})
    written = store.rollouts.update(changed, expected_state="loading", event="shared")
    assert store.rollouts.get(read.id) == written
    with pytest.raises(ConflictError, match="somebody else changed it"):
        store.rollouts.update(
            dataclasses.replace(read, share=0.5), expected_state="loading", event="lost"
        )
    assert store.rollouts.get(read.id) == written
    assert [one.event for one in store.rollouts.events(read.id)] == ["shared"]


def test_purging_keeps_what_is_young_and_what_people_judged(store: Store, record: Record) -> None:
    old = [record(f"old{n}", created=NOW - timedelta(days=9)) for n in range(1200)]
    store.requests.add([*old, record("young", created=NOW)])
    store.feedback.add(Feedback("f", "old1", NOW, "preference", 0, None, "old2"))
    store.feedback.add(Feedback("g", "young", NOW, "preference", 0, None, "old3"))
    limit = NOW - timedelta(days=1)
    assert store.purge(older_than=limit)["requests"] == 1197
    assert {one.id for one in store.requests.recent(9)} == {"young", "old1", "old2", "old3"}
    counts = store.purge(older_than=limit, keep_feedback=False)
    assert (counts["requests"], counts["feedback"]) == (3, 2)
    assert [one.id for one in store.requests.recent(9)] == ["young"]


OPEN = "import sys; from serving.store import open_store; open_store(sys.argv[1]).ping()"


def test_many_that_open_a_new_database_at_once_all_find_it_whole(url: str) -> None:
    command = [sys.executable, "-c", OPEN, url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


WRITE = """
import sys
from datetime import UTC, datetime
from serving.store import Feedback, open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for number in range(100_000):
    name = f"{sys.argv[2]}-{number}"
    store.feedback.add(Feedback(name, "a", datetime.now(UTC), "thumbs", 1))
    print(name, flush=True)
"""


def test_feedback_that_was_acknowledged_survives_kill_9(
    store: Store, url: str, record: Record
) -> None:
    store.requests.add([record("a")])
    acknowledged: set[str] = set()
    for attempt in range(5):
        command = [sys.executable, "-c", WRITE, url, str(attempt)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + 0.03 * attempt)
            process.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in process.stdout if line.endswith("\n"))
    assert acknowledged
    assert {one.id for one in store.feedback.of_request("a")} >= acknowledged


def test_a_database_that_comes_back_is_used_again(postgresql: Any, record: Record) -> None:
    store = open_store(postgresql.new_database())
    store.requests.add([record("a")])
    postgresql.stop()
    try:
        with pytest.raises(StoreError) as raised:
            store.requests.add([record("b")])
        assert "\n" not in str(raised.value)
    finally:
        postgresql.start()
    store.requests.add([record("c")])
    assert {one.id for one in store.requests.recent(9)} == {"a", "c"}
    store.close()
