"""The window is read from the store and from a file alike, a page in memory at a time."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.artifacts import ServingLog
from components.errors import ConfigError, DataError
from pipelines.monitoring.collecting import Wanted, collect, ingest_fresh
from serving.store import Feedback, RequestRecord, Store
from serving.store.log_file import line

Record = Callable[..., RequestRecord]
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def collected(folder: Path, url: str, **wanted: Any) -> tuple[ServingLog, dict[str, Any]]:
    values: dict[str, Any] = {"since": NOON - HOUR, "until": NOON, **wanted}
    collect(Wanted("text", "text", url, **values), folder)
    log = ServingLog(folder)
    return log, log.collected()


def ids(path: Path) -> list[str]:
    return list(pq.read_table(path).column("id").to_pylist())


@pytest.fixture
def filled(store: Store, record: Record) -> Store:
    """Three requests before the window, four in it, one after, and feedback."""
    store.requests.add(
        [
            *(record(f"old{n}", created=NOON - 5 * HOUR + n * timedelta(1e-5)) for n in range(3)),
            record("older version", created=NOON - 6 * HOUR, version=7),
            *(record(f"in{n}", created=NOON - timedelta(minutes=9 - n)) for n in range(3)),
            record("failed", version=None, status="error", outputs=None, code="INTERNAL"),
            record("edge", created=NOON),
            record("other", model="image"),
        ]
    )
    at = NOON - timedelta(seconds=1)
    store.feedback.add(Feedback("f1", "in0", at, "thumbs", 1))
    store.feedback.add(Feedback("f2", "in1", at, "edit", text="better"))
    store.feedback.add(Feedback("late", "in1", NOON, "thumbs", -1))
    return store


def exported(store: Store, path: Path) -> Path:
    records = [
        *store.requests.between("text", None, NOON + HOUR),
        *store.feedback.between("text", NOON - HOUR, NOON + HOUR),
    ]
    path.write_text("".join(line(one) + "\n" for one in records), "utf-8")
    return path


def test_the_store_and_its_export_give_the_same_window(
    filled: Store, url: str, tmp_path: Path
) -> None:
    file = exported(filled, tmp_path / "log.jsonl")
    both = [
        collected(tmp_path / "store", url),
        collected(tmp_path / "file", url, log_file=str(file)),
    ]
    for log, about in both:
        assert ids(log.requests_path) == ["in0", "in1", "in2", "failed"]
        assert ids(log.reference_path) == ["old0", "old1", "old2"]
        assert ids(log.feedback_path) == ["f1", "f2"]
        assert (about["version"], about["history"]) == (1, [])
        assert any(
            "1 requests are of 2026-11-28 12:00:00 UTC or later" in one for one in about["notes"]
        )
        assert "edited texts were not scored" in about["notes"][-1]
    rows = [pq.read_table(log.requests_path).to_pylist() for log, _ in both]
    assert rows[0] == rows[1]
    assert json.loads(rows[0][0]["inputs"]) == {"prompt": "a prompt"}


def test_a_torn_last_line_and_lines_that_are_none_are_set_aside_and_told(
    filled: Store, url: str, tmp_path: Path
) -> None:
    file = exported(filled, tmp_path / "log.jsonl")
    whole = file.read_bytes()
    torn = b"{}\nnonsense\n" + whole + whole.splitlines()[0][:40]
    file.write_bytes(torn)
    log, about = collected(tmp_path / "log", url, log_file=str(file))
    assert len(ids(log.requests_path)) == 4
    assert "the last line of the log was cut off; it was set aside." in about["notes"]
    assert "2 lines of the log are no records; set aside." in about["notes"]


def test_a_log_that_is_not_there_is_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a serving log at"):
        collected(tmp_path / "log", url, log_file=str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="ends after it starts"):
        collected(tmp_path / "log", url, since=NOON, until=NOON - HOUR)


def test_earlier_monitorings_come_along_oldest_first(
    filled: Store, url: str, tmp_path: Path
) -> None:
    for verdict in ("ok", "alert"):
        filled.monitoring.add(
            "text",
            window=(NOON - 2 * HOUR, NOON - HOUR),
            requests=1,
            verdict=verdict,
            reason="",
            figures={"errors.share": 0.5},
        )
    _, about = collected(tmp_path / "log", url)
    assert [one["verdict"] for one in about["history"]] == ["ok", "alert"]
    assert about["history"][0]["figures"] == {"errors.share": 0.5}


def test_memory_does_not_grow_with_the_window(
    store: Store, url: str, record: Record, tmp_path: Path
) -> None:
    prompt = "x" * 2000

    def peak(count: int, name: str) -> int:
        rows = [
            record(
                f"{name}{n:06d}",
                created=NOON - HOUR + timedelta(milliseconds=n),
                inputs={"prompt": prompt},
            )
            for n in range(count)
        ]
        store.requests.add(rows)
        del rows
        tracemalloc.start()
        collected(tmp_path / name, url)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small = peak(2_500, "a")
    large = peak(6_000, "b")
    assert large < 1.2 * small


def test_fresh_data_are_ingested_as_training_data_are(tmp_path: Path) -> None:
    text = "\n\n".join(
        f"Paragraph {n} says something of its own at some length." for n in range(60)
    )
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text(f"{name} {text}", "utf-8")
    ingest_fresh("text", {"source": str(tmp_path / "*.txt")}, tmp_path / "fresh")
    assert (tmp_path / "fresh" / "manifest.json").is_file()
    ingest_fresh("text", {}, tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []
    with pytest.raises(DataError, match="Received: sauce"):
        ingest_fresh("text", {"source": "x", "sauce": 1}, tmp_path / "wrong")
