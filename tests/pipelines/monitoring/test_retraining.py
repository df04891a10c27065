"""A retraining runs once, within its limits; why, and what became of it, is written down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import ServingError
from components.monitor.options import MonitorOptions
from pipelines.monitoring import launching, retraining
from pipelines.monitoring.launching import Cluster
from pipelines.monitoring.retraining import Training, retrain
from serving.store import Store

OPTIONS = MonitorOptions(
    cool_down_hours=0, budget_runs=2, retraining_cpu_seconds=50, retrain_set=["a.b={data}"]
)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands for `python`: what it is asked to run is written down, and it ends as told."""
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$@" > {tmp_path}/asked\n'
        'echo "pushed in 3 s"\n'
        f"exit $(cat {tmp_path}/code)\n"
    )
    script.chmod(0o755)
    (tmp_path / "code").write_text("0")
    records = tmp_path / "out" / "records" / "20261128-120000"
    records.mkdir(parents=True)
    (records / "summary.json").write_text('{"outcome": "pushed"}')
    (tmp_path / "out" / "latest").symlink_to("records/20261128-120000")
    monkeypatch.setattr(sys, "executable", str(script))
    return tmp_path


def ask(url: str, folder: Path, cluster: Cluster | None = None) -> tuple[str, str]:
    """State of the retraining, and what was told."""
    told: list[str] = []
    training = Training("text", "quick", ["train.steps=9"], str(folder / "out"), cluster)
    entry = retrain(
        url,
        "text",
        OPTIONS,
        training,
        reason="prompts drifted",
        monitoring_id=None,
        data="new.csv",
        tell=told.append,
        environment={},
    )
    return entry.state, " ".join(told)


def test_here_it_is_the_command_that_a_person_would_type(
    store: Store, url: str, program: Path
) -> None:
    state, told = ask(url, program)
    assert state == "succeeded"
    assert "pushed in 3 s" in told
    asked = (program / "asked").read_text("utf-8")
    assert asked.startswith("-m pipelines.cli run text --no-serve --profile=quick")
    assert "--set=train.steps=9 --set=a.b=new.csv" in asked
    (entry,) = store.monitoring.retrainings("text")
    assert (entry.run, entry.reason) == ("20261128-120000", "prompts drifted")
    assert entry.details["outcome"] == "pushed"
    assert entry.details["cpu_seconds"] >= 0


def test_one_that_fails_says_its_last_words(store: Store, url: str, program: Path) -> None:
    (program / "code").write_text("2")
    assert ask(url, program)[0] == "failed"
    (entry,) = store.monitoring.retrainings("text")
    assert (entry.details["exit_code"], entry.details["error"]) == (2, "pushed in 3 s")


def test_beyond_the_budget_it_is_refused_and_nothing_runs(
    store: Store, url: str, program: Path
) -> None:
    for _ in range(2):
        ask(url, program)
    (program / "asked").unlink()
    state, told = ask(url, program)
    assert state == "refused"
    assert "budget: 2 of 2 runs" in told
    assert not (program / "asked").exists()


def test_one_whose_process_was_killed_does_not_hold_up_the_next(
    store: Store, url: str, program: Path
) -> None:
    limits = retraining.limits(OPTIONS)
    entry = store.monitoring.begin_retraining("text", reason="", limits=limits)
    ended = subprocess.Popen(["true"])
    store.monitoring.name_retraining(entry, "", {"pid": os.getpid()})
    assert "still under way" in ask(url, program)[1]
    ended.wait()
    store.monitoring.name_retraining(entry, "", {**entry.details, "pid": ended.pid})
    assert ask(url, program)[0] == "succeeded"
    killed = store.monitoring.retrainings("text")[-1]
    assert (killed.state, killed.details["error"]) == ("failed", "its process was killed")


def test_on_a_cluster_it_is_started_and_its_end_entered_later(
    store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster("http://kubeflow")
    states = {"r1": "running"}
    monkeypatch.setattr(launching, "start", lambda *_: "r1")
    monkeypatch.setattr(launching, "state", lambda _, run: states[run])
    assert ask(url, tmp_path, cluster)[0] == "started"
    (entry,) = store.monitoring.retrainings("text")
    assert (entry.run, entry.details["run_name"]) == ("r1", "retraining-text-1")
    assert "still under way" in ask(url, tmp_path, cluster)[1]
    states["r1"] = "succeeded"
    retraining.settle(store, "text", cluster)
    entry = store.monitoring.retrainings("text")[-1]
    assert (entry.state, entry.details["cpu_seconds"]) == ("succeeded", 50)


def test_a_cluster_that_is_away_makes_it_fail_with_the_cause(
    store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> str:
        raise ServingError("expected Kubeflow Pipelines at http://kubeflow")

    monkeypatch.setattr(launching, "start", away)
    assert ask(url, tmp_path, Cluster("http://kubeflow"))[0] == "failed"
    (entry,) = store.monitoring.retrainings("text")
    assert "expected Kubeflow Pipelines" in entry.details["error"]
    assert entry.details["cpu_seconds"] == 0
