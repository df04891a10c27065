"""Runs and versions are entered, listed, compared, and traced back to what made them."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from serving.store import Approval, Run, Store, Version, open_store
from serving.store.registry_commands import lineage, models, runs

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def call(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))  # type: ignore[arg-type]


def a_run(name: str, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "model": "text",
        "run": name,
        "finished": NOON,
        "outcome": "pushed",
        "reason": "approved: all 3 rules pass",
        "seconds": 61.5,
        "source": "sotu:",
        "source_digest": "d" * 64,
        "code_digest": "c" * 64,
        "code_revision": "abc123",
        "config_digest": "e" * 64,
        "config": {"train": {"layers": 4, "steps": 700}, "modality": "text"},
        "figures": {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": 0.5},
        "champion_version": None,
        "records": f"/runs/{name}",
    }
    return Run(**{**values, **changed})


def a_version(run: str, number: int, model: str = "text") -> Version:
    return Version(model, number, run, f"{number}" * 64, f"/models/{model}/{number}")


def test_a_run_is_entered_once_and_brought_up_to_date(store: Store) -> None:
    waiting = a_run("a", outcome="pending")
    store.registry.record(waiting)
    assert store.registry.runs() == [waiting]
    assert store.registry.versions() == []
    pushed = dataclasses.replace(waiting, outcome="pushed")
    for _ in range(2):
        store.registry.record(pushed, a_version("a", 1))
    assert store.registry.runs() == [pushed]
    assert store.registry.versions() == [a_version("a", 1)]


def test_what_a_database_cannot_hold_is_mended(store: Store) -> None:
    run = a_run("a", reason="a\0b", figures={"x": float("nan"), "y": 1.0})
    store.registry.record(run)
    (found,) = store.registry.runs()
    assert (found.reason, found.figures) == ("a\N{REPLACEMENT CHARACTER}b", {"x": None, "y": 1.0})


def test_the_newest_runs_come_first(store: Store, url: str) -> None:
    for hours, name in enumerate(("a", "b", "c")):
        store.registry.record(a_run(name, finished=NOON + timedelta(hours=hours)))
    store.registry.record(a_run("a", model="image", figures={}, outcome="failed", seconds=None))
    assert [run.run for run in store.registry.runs(model="text", limit=2)] == ["c", "b"]
    lines = call(runs, "list", f"--store={url}").output.splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:5] == ["c", "text", "pushed", "bits_per_byte", "1.9"]
    assert "50%" in lines[1]
    assert [line.split()[0] for line in lines[1:4]] == ["c", "b", "a"]
    only = call(runs, "list", f"--store={url}", "--model=image").output
    assert len(only.splitlines()) == 2


def test_runs_are_compared_where_they_differ(store: Store, url: str) -> None:
    store.registry.record(a_run("a"))
    other = {"train": {"layers": 6, "steps": 700}, "modality": "text"}
    figures = {"evaluation.bits_per_byte": 1.8, "evaluation.copy_share": 0.01}
    store.registry.record(a_run("b", config=other, figures=figures))
    shown = call(runs, "compare", "a", "text/b", f"--store={url}").output.splitlines()
    told = {line.split()[0]: line.split()[1:] for line in shown[1:]}
    assert shown[0].split() == ["text/a", "text/b"]
    assert told == {
        "train.layers": ["4", "6"],
        "evaluation.bits_per_byte": ["1.9", "1.8"],
        "evaluation.copy_share": ["–", "0.01"],
        "drift.data.drift_share": ["0.5", "–"],
    }
    whole = call(runs, "compare", "a", "b", "--all", f"--store={url}").output
    assert "train.steps" in whole
    same = call(runs, "compare", "a", "a", f"--store={url}").output
    assert "the same in everything" in same


def test_lineage_goes_back_through_the_champions(store: Store, url: str) -> None:
    store.registry.record(a_run("a"), a_version("a", 1))
    store.registry.record(a_run("b", champion_version=1), a_version("b", 2))
    envelope = ("n", "text", "b", "approved", "Ada", "reads well", NOON, NOON, "{}")
    store.approvals.decide("text", "b", NOON, lambda _: Approval(*envelope))
    for name in ("text/2", "b", "text/b"):
        shown = call(lineage, name, f"--store={url}").output
        newer, older = shown.split("\n\n")
        assert newer.startswith("text/2  222222222222  /models/text/2\n")
        assert "by Ada at 2026-11-23 12:00 UTC: reads well" in newer
        assert "sotu: dddddddddddd" in newer
        assert "compared with: text/1" in newer
        assert older.startswith("text/1  ")
        assert "compared with: nothing" in older


def test_lineage_that_bites_its_tail_ends(store: Store, url: str) -> None:
    store.registry.record(a_run("a", champion_version=1), a_version("a", 1))
    assert call(lineage, "a", f"--store={url}").output.count("records:") == 1


def test_versions_are_listed_with_who_approved_them(store: Store, url: str) -> None:
    store.registry.record(a_run("a"), a_version("a", 1))
    store.registry.record(a_run("b"), a_version("b", 2))
    store.registry.record(a_run("c", model="image"), a_version("c", 7, "image"))
    envelope = ("n", "text", "b", "approved", "Ada", "", NOON, NOON, "{}")
    store.approvals.decide("text", "b", NOON, lambda _: Approval(*envelope))
    lines = call(models, f"--store={url}").output.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["image", "7"],
        ["text", "2"],
        ["text", "1"],
    ]
    assert "Ada" in lines[2]
    assert "the policy" in lines[3]
    assert len(call(models, f"--store={url}", "--model=image").output.splitlines()) == 2


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (lineage, ["nothing"], "expected the name of one run"),
        (lineage, ["text/99"], "expected the name of one run"),
        (lineage, ["a"], "image/a and text/a"),
        (runs, ["compare", "a", "b"], "expected the name of one run"),
        (models, ["--server=127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_line(
    store: Store, url: str, command: object, arguments: list[str], said: str
) -> None:
    store.registry.record(a_run("a"), a_version("a", 1))
    store.registry.record(a_run("a", model="image"))
    done = call(command, *arguments, f"--store={url}")
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_server_tells_which_versions_it_serves(server: Any, tmp_path: Path) -> None:
    """On SQLite alone: the server does not know the store."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with contextlib.closing(open_store(url)) as store:
        for number in (2, 3):
            store.registry.record(a_run(f"run {number}"), a_version(f"run {number}", number))
        store.registry.record(a_run("other", model="other"), a_version("other", 3, "other"))
    shown = call(models, f"--store={url}", f"--server={server.address}").output
    states = {tuple(line.split()[:2]): "AVAILABLE" in line for line in shown.splitlines()[1:]}
    assert states == {("text", "3"): True, ("text", "2"): False, ("other", "3"): False}
