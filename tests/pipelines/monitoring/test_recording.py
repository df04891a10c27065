"""Findings are entered; people are told when a verdict changes or lasts, if they listen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import MonitoringReport
from pipelines.monitoring.recording import TOLD, record
from serving.notify import channels
from serving.store import Store

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SECONDS", 0.3)
    monkeypatch.setattr(channels, "_PAUSE", 0.01)


@pytest.fixture
def hook() -> Iterator[Callable[[int], tuple[dict[str, str], list[str]]]]:
    """A webhook that answers with a status, or hangs at 0: its environment, and what it heard."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> tuple[dict[str, str], list[str]]:
        heard: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append(json.loads(body)["text"])
                if not status:
                    time.sleep(1.0)
                self.send_response(status or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return {"LOOMLINE_WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}/x"}, heard

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def report(tmp_path: Path) -> Callable[[str], Path]:
    """A report with a verdict."""

    def report(verdict: str) -> Path:
        folder = tmp_path / "report"
        content: dict[str, Any] = {
            "figures": {"latency.p95_ms": {"value": 12.0}},
            "model": "text",
            "version": 1,
            "window_from": NOON.isoformat(),
            "window_to": (NOON + timedelta(hours=1)).isoformat(),
            "requests": 7,
            "verdict": verdict,
            "reason": "because",
            "headline": ["because.", "It has been so for long."],
            "suggestions": ["Look at it."],
            "notes": [],
            "rules": [],
        }
        MonitoringReport(folder).write(content, "<p>page</p>")
        return folder

    return report


def test_what_was_found_is_entered_with_its_report(
    store: Store, url: str, report: Callable[[str], Path], tmp_path: Path
) -> None:
    kept = tmp_path / "records"
    found = record(report("ok"), url, repeat_hours=1, records=str(kept), environment={})
    (entry,) = store.monitoring.recent("text")
    assert (entry.id, entry.verdict, entry.requests) == (found.monitoring_id, "ok", 7)
    assert entry.figures == {"latency.p95_ms": 12.0, TOLD: 0.0}
    assert entry.report == str(kept / "monitoring.html")
    assert Path(entry.report).is_file()


def test_people_are_told_of_changes_alone(
    store: Store, url: str, report: Callable[[str], Path], hook: Any
) -> None:
    environment, heard = hook(200)
    for verdict in ("ok", "insufficient", "alert", "alert", "insufficient", "alert", "retrain"):
        record(report(verdict), url, repeat_hours=1, environment=environment)
    record(report("ok"), url, repeat_hours=1, environment=environment)
    record(report("ok"), url, repeat_hours=1, environment=environment)
    assert [text.splitlines()[0] for text in heard] == [
        "text needs to be looked at",
        "text should be trained anew",
        "text is well again",
    ]
    assert "It has been so for long." in heard[0]
    assert "- Look at it." in heard[0]
    assert "monitoring.html" in heard[0]


def test_a_verdict_that_lasts_is_told_again_after_a_while(
    store: Store, url: str, report: Callable[[str], Path], hook: Any
) -> None:
    environment, heard = hook(200)
    store.monitoring.add(
        "text",
        window=(NOON, NOON),
        requests=1,
        verdict="alert",
        reason="",
        figures={TOLD: 1.0},
        created=datetime.now(UTC) - timedelta(hours=3),
    )
    record(report("alert"), url, repeat_hours=4, environment=environment)
    assert not heard
    record(report("alert"), url, repeat_hours=2, environment=environment)
    assert len(heard) == 1
    record(report("alert"), url, repeat_hours=2, environment=environment)
    assert len(heard) == 1


@pytest.mark.parametrize(("status", "told"), [(500, "status 500"), (0, "no answer within")])
def test_a_webhook_that_fails_or_hangs_stops_nothing_and_is_tried_again_next_time(
    store: Store, url: str, report: Callable[[str], Path], hook: Any, status: int, told: str
) -> None:
    environment, heard = hook(status)
    start = time.monotonic()
    found = record(report("alert"), url, repeat_hours=1, environment=environment)
    assert time.monotonic() - start < 5
    assert told in found.told
    assert store.monitoring.recent("text")[0].figures[TOLD] == 0
    assert len(heard) == 3
    good, heard = hook(200)
    assert record(report("alert"), url, repeat_hours=1, environment=good).told == "people were told"
    assert len(heard) == 1


def test_a_dry_run_enters_nothing_and_tells_nobody(
    store: Store, url: str, report: Callable[[str], Path], hook: Any
) -> None:
    environment, heard = hook(200)
    found = record(report("alert"), url, repeat_hours=1, dry_run=True, environment=environment)
    assert (found.monitoring_id, heard, store.monitoring.recent("text")) == (0, [], [])
