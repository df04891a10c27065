"""A registry with a version, who approved it, and its reports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from serving.export.commands import export
from serving.store import Approval, Run, Version, open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path, past_run: Callable[..., Run]) -> str:
    """URL of a store: `a` was pushed as version 2 and approved by Ada, `b` failed."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    records = tmp_path / "records"
    records.mkdir()
    (records / "evaluation.html").write_text("<p>it is good")
    (records / "decision.json").write_text('{"approved": true}')
    (records / "samples.parquet").write_text("large")
    config = {"train": {"layers": 4, "rate": 0.001}, "gate": {"rules": [{"metric": "x"}]}}
    figures = {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": None}
    pushed = past_run("a", config=config, figures=figures, champion_version=1, records=str(records))
    failed = past_run("b", outcome="failed", figures={}, records="")
    verdict = Approval(
        "n", "text", "a", "approved", "Ada", "reads well", NOON, NOON + timedelta(days=7), "{}"
    )
    with contextlib.closing(open_store(url)) as store:
        store.registry.record(pushed, Version("text", 2, "a", "2" * 64, "/models/text/2"))
        store.registry.record(failed)
        store.approvals.decide("text", "a", NOON, lambda _: verdict)
    return url


@pytest.fixture
def exported(registry: str) -> Callable[..., Result]:
    """Calls `loomline runs export`."""

    def exported(*arguments: object) -> Result:
        given = [str(one) for one in arguments]
        return CliRunner().invoke(export, [*given, f"--store={registry}"])

    return exported


@pytest.fixture
def one_line() -> Callable[[Result, str], None]:
    """Checks that a mistake is told in one line."""

    def one_line(done: Result, said: str) -> None:
        assert done.exit_code == 2, done.output
        assert done.stderr.count("\n") == 1
        assert said in done.stderr

    return one_line
