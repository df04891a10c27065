"""Runs are compared where they differ, as a table and as a page that opens offline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipelines.comparing import compare
from serving.store import Run, Store, Version, open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def call(*arguments: str) -> Result:
    return CliRunner().invoke(compare, list(arguments))


@pytest.fixture
def record(store: Store, past_run: Callable[..., Run]) -> Callable[..., None]:
    """Enters a run, and its version where it has one."""

    def record(name: str, version: int | None = None, **changed: Any) -> None:
        digest = f"{version}" * 64
        published = version and Version("text", version, name, digest, f"/models/{version}")
        store.registry.record(past_run(name, **changed), published or None)

    return record


def test_runs_are_compared_where_they_differ(record: Any, url: str) -> None:
    record("a", 1)
    other = {"train": {"layers": 6, "steps": 700}, "modality": "text"}
    figures = {"evaluation.bits_per_byte": 1.8, "evaluation.copy_share": 0.01}
    record("b", config=other, figures=figures)
    shown = call("text/1", "text/b", f"--store={url}").output.splitlines()
    told = {line.split()[0]: line.split()[1:] for line in shown[1:]}
    assert shown[0].split() == ["text/a", "text/b"]
    assert told == {
        "train.layers": ["4", "6"],
        "evaluation.bits_per_byte": ["1.9", "1.8"],
        "evaluation.copy_share": ["–", "0.01"],
        "drift.data.drift_share": ["0.5", "–"],
    }
    assert "train.steps" in call("a", "b", "--all", f"--store={url}").output
    assert "the same in everything" in call("a", "a", f"--store={url}").output


def test_a_page_has_the_table_and_a_plot_of_every_figure(
    record: Any, store: Store, url: str, tmp_path: Path
) -> None:
    record("a", 1)
    record(
        "b",
        2,
        finished=NOON + timedelta(hours=1),
        champion_version=1,
        reason="<script>alert(1)</script>",
        figures={"evaluation.bits_per_byte": 1.8, "drift.data.drift_share": None},
    )
    store.deployments.observe("models:8500", "text", {1: ["stable"]}, datetime.now(UTC))
    target = tmp_path / "deep" / "runs.html"
    done = call("b", "a", f"--store={url}", f"--html={target}")
    assert done.output.endswith(f"wrote {target}\n")
    html = target.read_text("utf-8")
    assert html.count('<path class="curve"') == 2
    # Oldest first, whatever the order of the command.
    assert html.index("1. text/a") < html.index("2. text/b")
    assert "version 1: stable, champion" in html
    assert "models:8500 (stable)" in html
    assert "<script>alert" not in html
    assert "http://" not in html
    assert "https://" not in html


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "nothing"], "expected the name of one run"),
        (["a"], "expected two runs or more to compare. Received: a"),
        (["a", "a", "--html=/proc/none/x.html"], "expected to write /proc/none/x.html"),
    ],
)
def test_a_mistake_is_one_line(record: Any, url: str, arguments: list[str], said: str) -> None:
    record("a")
    done = call(*arguments, f"--store={url}")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert said in done.stderr
