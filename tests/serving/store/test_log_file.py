"""The serving log as a file: what is exported is read again, whole lines only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from serving.store import Feedback, RequestRecord, Store, StoreError, feedback, open_store
from serving.store.log_file import LogFile, line
from serving.store.request_commands import requests

Record = Callable[..., RequestRecord]
NOW = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def test_spans_of_time_are_read_in_pages_and_to_the_microsecond(
    store: Store, record: Record
) -> None:
    step = timedelta(microseconds=1)
    rows = [record(f"{n:05}", created=NOW + n // 2 * step, version=n % 2) for n in range(2300)]
    store.requests.add([*rows, record("other", model="image", created=NOW)])
    found = [one.id for one in store.requests.between("text", NOW + step, NOW + 1100 * step)]
    assert found == [f"{n:05}" for n in range(2, 2200)]
    odd = list(store.requests.between("text", None, NOW + 3 * step, version=1))
    assert [one.id for one in odd] == ["00001", "00003", "00005"]
    assert store.requests.count_from("text", NOW + 1149 * step) == 2
    assert list(store.requests.between("none", None, NOW)) == []


def test_feedback_of_a_span_of_time_is_that_of_the_model(
    store: Store, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "_PAGE", 10)
    store.requests.add([record("a"), record("b", model="image")])
    hour = timedelta(hours=1)
    given = [Feedback(f"{n:04}", "a", NOW + n * hour, "thumbs", 1) for n in range(26)]
    for one in [*given, Feedback("other", "b", NOW + hour, "thumbs", 1)]:
        store.feedback.add(one)
    found = list(store.feedback.between("text", NOW + hour, NOW + 25 * hour))
    assert found == given[1:25]


def test_what_is_exported_is_read_again(
    store: Store, url: str, record: Record, tmp_path: Path
) -> None:
    written = record("a", created=NOW, inputs={"prompt": "é\n☃"}, outputs=None)
    store.requests.add([written, record("late", created=NOW + timedelta(hours=1))])
    said = Feedback("f", "a", NOW, "edit", text="better")
    store.feedback.add(said)
    file = tmp_path / "log.jsonl"
    arguments = ["export", f"--store={url}", "--until=2026-05-04T12:30", f"--to={file}"]
    done = CliRunner().invoke(requests, arguments)
    assert done.exit_code == 0, done.output
    assert "wrote 2 records" in done.output
    log = LogFile(file)
    assert list(log.records()) == [written, said]
    assert (log.torn, log.unreadable) == (False, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"request": {}}',
        '{"request": 5}',
        '{"other": {"created": "2026-05-04"}}',
        '{"request": {"created": "2026-05-04"}, "feedback": {}}',
    ],
)
def test_lines_that_are_no_records_are_counted(record: Record, tmp_path: Path, wrong: str) -> None:
    good = record("a", created=NOW)
    file = tmp_path / "log"
    file.write_text(f"{wrong}\n{line(good)}\n{wrong}", "utf-8")
    log = LogFile(file)
    assert list(log.records()) == [good]
    assert (log.torn, log.unreadable) == (bool(wrong), int(bool(wrong)))


def test_a_record_that_somebody_is_writing_is_torn_at_every_byte(
    record: Record, tmp_path: Path
) -> None:
    text = (line(record("a", created=NOW)) + "\n").encode()
    file = tmp_path / "log"
    for cut in range(1, len(text) - 1, 7):
        file.write_bytes(text + text[:cut])
        log = LogFile(file)
        assert len(list(log.records())) == 1
        assert log.torn


def test_wrong_wishes_are_one_line(url: str, tmp_path: Path) -> None:
    open_store(url).close()
    for wish, said in [
        (["--since=yesterday"], "expected a time such as"),
        ([f"--to={tmp_path}"], "expected a file that can be written"),
    ]:
        done = CliRunner().invoke(requests, ["export", f"--store={url}", *wish])
        assert done.exit_code == 2
        assert said in done.output
    with pytest.raises(StoreError, match="expected a serving log at"):
        list(LogFile(tmp_path / "none").records())


def test_a_page_of_requests_is_not_looked_for_among_all_of_the_model(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a million old requests, each page would otherwise sort them all."""
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL chooses by the figures of a full table")
    store = open_store(url)
    seen: list[str] = []
    engine = store.requests._engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def look(connection: object, cursor: Any, statement: str, given: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            seen.extend(row[3] for row in plan.fetchall())

    list(store.requests.between("text", NOW, NOW + timedelta(hours=1)))
    store.requests.count_from("text", NOW)
    list(store.feedback.between("text", NOW, NOW + timedelta(hours=1)))
    store.close()
    assert [one for one in seen if "ix_requests_created_id (created" in one]
    assert not [one for one in seen if "USING INDEX ix_requests_model" in one]
