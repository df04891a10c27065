"""Runs and versions are entered, listed, compared, and traced back to what made them."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from serving.store import Approval, Store, Version, open_store
from serving.store.registry_commands import lineage, models, runs

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def call(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))  # type: ignore[arg-type]


def a_version(run: str, number: int, model: str = "text") -> Version:
    return Version(model, number, run, f"{number}" * 64, f"/models/{model}/{number}")


def test_a_run_is_entered_once_and_brought_up_to_date(past_run: Any, store: Store) -> None:
    waiting = past_run("a", outcome="pending")
    store.registry.record(waiting)
    assert store.registry.runs() == [waiting]
    assert store.registry.versions() == []
    pushed = dataclasses.replace(waiting, outcome="pushed")
    for _ in range(2):
        store.registry.record(pushed, a_version("a", 1))
    assert store.registry.runs() == [pushed]
    assert store.registry.versions() == [a_version("a", 1)]


def test_what_a_database_cannot_hold_is_mended(past_run: Any, store: Store) -> None:
    run = past_run("a", reason="a\0b", figures={"x": float("nan"), "y": 1.0})
    store.registry.record(run)
    (found,) = store.registry.runs()
    assert (found.reason, found.figures) == ("a\N{REPLACEMENT CHARACTER}b", {"x": None, "y": 1.0})


def test_words_that_a_database_cannot_hold_name_nothing(store: Store, url: str) -> None:
    assert store.registry.runs(model="a\0b") == []
    assert store.registry.versions(model="a\0b") == []
    assert store.registry.get("a\0b", "\0") is None
    assert store.deployments.current(model="a\0b") == []
    assert "expected the name of one run" in call(lineage, "text/a\0b", f"--store={url}").stderr


def test_the_newest_runs_come_first(past_run: Any, store: Store, url: str) -> None:
    for hours, name in enumerate(("a", "b", "c")):
        store.registry.record(past_run(name, finished=NOON + timedelta(hours=hours)))
    store.registry.record(past_run("a", model="image", figures={}, outcome="failed", seconds=None))
    assert [run.run for run in store.registry.runs(model="text", limit=2)] == ["c", "b"]
    lines = call(runs, "list", f"--store={url}").output.splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:5] == ["c", "text", "pushed", "bits_per_byte", "1.9"]
    assert "50%" in lines[1]
    assert [line.split()[0] for line in lines[1:4]] == ["c", "b", "a"]
    only = call(runs, "list", f"--store={url}", "--model=image").output
    assert len(only.splitlines()) == 2


def test_runs_are_filtered_and_read_page_by_page(past_run: Any, store: Store, url: str) -> None:
    for number in range(5):
        outcome = "rejected" if number % 2 else "pushed"
        # Two of them finish in the same moment.
        store.registry.record(
            past_run(f"r{number}", outcome=outcome, finished=NOON + timedelta(hours=number // 2))
        )
    store.registry.record(past_run("r0", model="image"))
    assert [run.run for run in store.registry.runs(outcome="rejected")] == ["r3", "r1"]
    page = store.registry.runs(limit=2)
    seen = list(page)
    while page:
        page = store.registry.runs(limit=2, before=page[-1])
        seen += page
    assert [(run.run, run.model) for run in seen] == [
        ("r4", "text"), ("r3", "text"), ("r2", "text"), ("r1", "text"),
        ("r0", "text"), ("r0", "image"),
    ]  # fmt: skip
    assert store.registry.models() == ["image", "text"]
    only = call(runs, "list", f"--store={url}", "--outcome=rejected").output.splitlines()
    assert [line.split()[0] for line in only[1:]] == ["r3", "r1"]


def test_lineage_goes_back_through_the_champions(past_run: Any, store: Store, url: str) -> None:
    store.registry.record(past_run("a"), a_version("a", 1))
    store.registry.record(past_run("b", champion_version=1), a_version("b", 2))
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


def test_lineage_that_bites_its_tail_ends(past_run: Any, store: Store, url: str) -> None:
    store.registry.record(past_run("a", champion_version=1), a_version("a", 1))
    assert call(lineage, "a", f"--store={url}").output.count("records:") == 1


def test_what_serves_where_is_shown(past_run: Any, store: Store, url: str) -> None:
    store.registry.record(past_run("a"), a_version("a", 1))
    store.registry.record(past_run("b", champion_version=1), a_version("b", 2))
    now = datetime.now(UTC)
    store.deployments.observe("models:8500", "text", {1: ["stable"], 2: ["canary"]}, now)
    store.deployments.observe("old:8500", "text", {1: []}, NOON)
    listed = call(models, f"--store={url}").output.splitlines()
    assert "models:8500 (canary)" in listed[1]
    assert "models:8500 (stable), old:8500, last seen 2026-11-23 12:00 UTC" in listed[2]
    newer, older = call(lineage, "b", f"--store={url}").output.split("\n\n")
    assert "serves at:     models:8500 (canary)\n" in newer
    assert "serves at:     models:8500 (stable)\n" in older


def test_versions_are_listed_with_who_approved_them(past_run: Any, store: Store, url: str) -> None:
    store.registry.record(past_run("a"), a_version("a", 1))
    store.registry.record(past_run("b"), a_version("b", 2))
    store.registry.record(past_run("c", model="image"), a_version("c", 7, "image"))
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
        (models, ["--server=127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_line(
    past_run: Any, store: Store, url: str, command: object, arguments: list[str], said: str
) -> None:
    store.registry.record(past_run("a"), a_version("a", 1))
    store.registry.record(past_run("a", model="image"))
    done = call(command, *arguments, f"--store={url}")
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_server_tells_which_versions_it_serves(
    past_run: Any, server: Any, tmp_path: Path
) -> None:
    """On SQLite alone: the server does not know the store."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with contextlib.closing(open_store(url)) as store:
        for number in (2, 3):
            store.registry.record(past_run(f"run {number}"), a_version(f"run {number}", number))
        store.registry.record(past_run("other", model="other"), a_version("other", 3, "other"))
    shown = call(models, f"--store={url}", f"--server={server.address}").output
    states = {tuple(line.split()[:2]): "AVAILABLE" in line for line in shown.splitlines()[1:]}
    assert states == {("text", "3"): True, ("text", "2"): False, ("other", "3"): False}


def test_a_run_that_makes_the_same_model_again_takes_no_version(
    past_run: Any, store: Store
) -> None:
    made = Version("text", 1, "a", "e" * 64, "/models/text/1")
    store.registry.record(past_run("a"), made)
    again = past_run("b")
    store.registry.record(again, dataclasses.replace(made, run="b"))
    assert store.registry.versions() == [made]
    anew = dataclasses.replace(made, run="b", model_digest="f" * 64)
    store.registry.record(again, anew)
    assert store.registry.versions() == [anew]
