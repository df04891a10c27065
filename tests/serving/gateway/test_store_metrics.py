"""/metrics tells of runs, approvals, monitorings and retrainings, and never waits for the store."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving.gateway.database import Database
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.store_metrics import MOST_FIGURES, StoreMetrics
from serving.gateway.store_watch import MOST_MODELS, StoreWatch
from serving.store import Redaction, RetrainingLimits, Run, Store, Version, open_store

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@dataclasses.dataclass
class Parts:
    """A watch that is not running, and the page that it fills."""

    watch: StoreWatch
    store: StoreMetrics
    metrics: GatewayMetrics
    opened: Store

    def page(self) -> dict[str, float]:
        self.watch.look()
        return self.shown()

    def shown(self) -> dict[str, float]:
        lines = self.metrics.text().decode().splitlines()
        found = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in found}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    database = Database(url, Redaction(), 5)
    store = StoreMetrics(fresh_seconds=60)
    opened = open_store(url)
    yield Parts(StoreWatch(database, store, ["text"], 60), store, GatewayMetrics(store), opened)
    opened.close()
    database.close()


def test_the_newest_run_is_told_with_its_outcome_its_figures_and_its_drift(
    parts: Parts, a_run: Callable[..., Run]
) -> None:
    figures = {
        "evaluation.bits_per_byte": 1.9,
        "evaluation.yardsticks.xz": 1.7,
        "evaluation.copy_share": None,
        "drift.data.drift_share": 0.25,
        "drift.output.drift_share": 0.75,
    }
    champion = {"evaluation.bits_per_byte": 1.8}
    first = a_run("a", finished=NOW - HOUR, figures=champion)
    parts.opened.registry.record(first, Version("text", 4, "a", "", ""))
    parts.opened.registry.record(a_run("b", finished=NOW, outcome="rejected", figures=figures))
    page = parts.page()
    outcomes = {
        name: page[f'loomline_run_outcome{{model="text",outcome="{name}"}}']
        for name in ("pushed", "pending", "rejected", "finished", "failed")
    }
    assert outcomes == {"pushed": 0, "pending": 0, "rejected": 1, "finished": 0, "failed": 0}
    assert page['loomline_runs{model="text",outcome="pushed"}'] == 1
    assert page['loomline_run_finished_timestamp_seconds{model="text"}'] == NOW.timestamp()
    assert page['loomline_run_duration_seconds{model="text"}'] == 61.5
    assert page['loomline_version_published{model="text"}'] == 4
    told = {name: value for name, value in page.items() if "_figure{" in name or "_drift_" in name}
    assert told == {
        'loomline_run_figure{figure="evaluation.bits_per_byte",model="text"}': 1.9,
        'loomline_version_figure{figure="evaluation.bits_per_byte",model="text"}': 1.8,
        'loomline_run_drift_ratio{comparison="data",model="text"}': 0.25,
        'loomline_run_drift_ratio{comparison="output",model="text"}': 0.75,
    }


def test_what_waits_is_told_with_its_age(parts: Parts, a_run: Callable[..., Run]) -> None:
    since = 'loomline_approvals_oldest_pending_timestamp_seconds{model="text"}'
    page = parts.page()
    assert page['loomline_approvals_pending{model="text"}'] == 0
    assert since not in page
    parts.opened.registry.record(a_run("a", outcome="pending", finished=NOW - 30 * HOUR))
    page = parts.page()
    assert page['loomline_approvals_pending{model="text"}'] == 1
    assert page[since] == (NOW - 30 * HOUR).timestamp()


def test_monitorings_and_refused_retrainings_are_told(parts: Parts) -> None:
    figures: dict[str, float | None] = {"drift.prompt.drift_share": 0.7, "requests.none": None}
    figures |= {f"quality.{index:03d}": 1.0 for index in range(2 * MOST_FIGURES)}
    monitoring = parts.opened.monitoring
    monitoring.add(
        "text",
        window=(NOW - HOUR, NOW),
        requests=100,
        verdict="retrain",
        reason="",
        figures=figures,
        created=NOW,
    )
    page = parts.page()
    assert page['loomline_monitoring_timestamp_seconds{model="text"}'] == NOW.timestamp()
    assert page['loomline_monitoring_requests{model="text"}'] == 100
    assert page['loomline_monitoring_verdict{model="text",verdict="retrain"}'] == 1
    assert page['loomline_monitoring_verdict{model="text",verdict="ok"}'] == 0
    assert page['loomline_monitoring_drift_ratio{comparison="prompt",model="text"}'] == 0.7
    assert sum("loomline_monitoring_figure{" in name for name in page) == MOST_FIGURES
    limits = RetrainingLimits(cool_down=HOUR, runs=1)
    monitoring.begin_retraining("text", reason="", limits=limits)
    assert _states(parts.page()) == ["started"]
    monitoring.begin_retraining("text", reason="", limits=limits)
    assert _states(parts.page()) == ["refused_cool_down"]
    spent = dataclasses.replace(limits, cool_down=timedelta(0), lost_after=timedelta(0))
    monitoring.begin_retraining("text", reason="", limits=spent)
    page = parts.page()
    assert _states(page) == ["refused_budget"]
    assert page['loomline_retrainings{model="text",state="refused"}'] == 2


def _states(page: dict[str, float]) -> list[str]:
    told = {name: value for name, value in page.items() if "loomline_retraining_state{" in name}
    return [name.split('state="')[1].split('"')[0] for name, value in told.items() if value]


def test_the_number_of_models_is_bounded_and_what_is_left_out_is_counted(
    parts: Parts, a_run: Callable[..., Run]
) -> None:
    for index in range(MOST_MODELS + 20):
        parts.opened.registry.record(a_run("a", model=f"m{index}"))
    page = parts.page()
    assert page["loomline_store_models"] == MOST_MODELS
    assert page["loomline_store_models_left_out"] == 21
    assert sum("loomline_run_finished" in name for name in page) == MOST_MODELS - 1


def test_a_store_that_goes_away_and_comes_back_says_so_and_keeps_the_last_values(
    parts: Parts, a_run: Callable[..., Run]
) -> None:
    assert parts.shown()["loomline_store_up"] == 0
    assert "loomline_store_refreshed_timestamp_seconds" not in parts.shown()
    parts.opened.registry.record(a_run("a"))
    before = parts.page()
    assert before["loomline_store_up"] == 1
    assert before["loomline_store_refreshed_timestamp_seconds"] == pytest.approx(time.time(), abs=5)
    with parts.opened._engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE runs RENAME TO hidden"))
    page = parts.page()
    assert page["loomline_store_up"] == 0
    same = "loomline_run_finished_timestamp_seconds"
    assert page[f'{same}{{model="text"}}'] == before[f'{same}{{model="text"}}']
    refreshed = "loomline_store_refreshed_timestamp_seconds"
    assert page[refreshed] == before[refreshed]
    with parts.opened._engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE hidden RENAME TO runs"))
    assert parts.page()["loomline_store_up"] == 1


def test_a_store_that_hangs_does_not_count_as_up_and_keeps_no_scrape_waiting(parts: Parts) -> None:
    parts.page()
    parts.store._fresh = 0.2
    release = threading.Event()

    class Hanging:
        def store(self) -> Store:
            release.wait(30)
            return parts.opened

    watch = StoreWatch(Hanging(), parts.store, ["text"], 0.05)  # type: ignore[arg-type]
    watch.thread.start()
    try:
        time.sleep(0.4)
        started = time.perf_counter()
        page = parts.shown()
        assert time.perf_counter() - started < 5
        assert page["loomline_store_up"] == 0
    finally:
        release.set()
        watch.thread.stop()


def test_an_audit_log_that_was_changed_is_told(parts: Parts) -> None:
    for index in range(3):
        parts.opened.audit.append("candidate.approved", actor="ada", subject=f"text/{index}")
    page = parts.page()
    assert (page["loomline_audit_intact"], page["loomline_audit_entries"]) == (1, 3)
    with parts.opened._engine.begin() as connection:
        for (name,) in connection.execute(
            sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ).all():
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
        connection.execute(sa.text("UPDATE audit_log SET content = '{}' WHERE id = 2"))
    assert parts.page()["loomline_audit_intact"] == 1, "it is looked at every ten minutes"
    parts.watch._audit_due = 0
    page = parts.page()
    assert (page["loomline_audit_intact"], page["loomline_audit_entries"]) == (0, 1)
    assert page["loomline_store_up"] == 1


def test_a_running_gateway_tells_of_its_store_its_limits_and_the_served_version(
    server: Any,
    start_gateway: Callable[..., Any],
    until: Callable[..., None],
    a_run: Callable[..., Run],
) -> None:
    flags = ("--store-metrics-seconds=0.1", "--upstream-poll-seconds=0.1", "--models=text,other")
    gateway = start_gateway(server.address, *flags, "--max-in-flight=7", "--queue-records=99")
    until(lambda: gateway.metric("loomline_store_up") == 1)
    until(lambda: gateway.metric('loomline_gateway_model_version{model="text"}') == 3)
    assert gateway.metric('loomline_gateway_model_available_versions{model="text"}') == 1
    assert gateway.metric('loomline_gateway_model_available_versions{model="other"}') == 0
    assert gateway.metric("loomline_gateway_in_flight_limit") == 7
    assert gateway.metric("loomline_gateway_recorder_queue_limit") == 99
    assert gateway.metric("process_resident_memory_bytes") > 1e6
    store = open_store(gateway.store)
    store.registry.record(a_run("a", outcome="failed"))
    store.close()
    until(lambda: gateway.metric('loomline_run_outcome{model="text",outcome="failed"}') == 1)


def test_promtool_finds_nothing_to_say_against_the_names_of_the_metrics(
    gateway: Any, until: Callable[..., None], a_run: Callable[..., Run]
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: make test-tools")
    store = open_store(gateway.store)
    store.registry.record(a_run("a", figures={"evaluation.quality": 0.9}), _version())
    store.close()
    gateway.generate()
    gateway.events()
    until(lambda: "loomline_store_refreshed" in gateway.http.get("/metrics").text)
    text = gateway.http.get("/metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def _version() -> Version:
    return Version("text", 1, "a", "", "")
