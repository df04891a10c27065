"""`loomline monitor --every` goes on after a fault, by a clock that nobody sets, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.errors import BusyError
from pipelines import cli_monitor
from pipelines.cli import main
from pipelines.face import Face
from pipelines.monitoring.running import MonitoringResult


def test_it_goes_on_after_a_fault_and_stops_by_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, done = [0.0], []

    def once(*_: Any) -> int:
        done.append(clock[0])
        if len(done) == 2:
            raise BusyError("another monitoring holds the folder")
        if len(done) == 4:
            raise KeyboardInterrupt
        clock[0] += 10 if len(done) == 1 else 0
        return 3

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    (tmp_path / "store.sqlite").touch()
    monkeypatch.setattr(cli_monitor, "_once", once)
    monkeypatch.setattr(cli_monitor.time, "sleep", sleep)
    monkeypatch.setattr(cli_monitor.time, "monotonic", lambda: clock[0])
    found = CliRunner().invoke(main, ["monitor", "text", f"--output={tmp_path}", "--every=1m"])
    assert found.exit_code == 130
    assert done == [0, 60, 120, 180]
    assert "error: another monitoring holds the folder" in found.output
    assert found.output.endswith("stopped\n")


def test_where_a_training_runs_is_checked_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    (tmp_path / "store.sqlite").touch()
    monkeypatch.setattr(cli_monitor, "_once", lambda _, request, __: asked.append(request) or 0)

    def run(*options: str) -> str:
        done = CliRunner().invoke(main, ["monitor", "text", f"--output={tmp_path}", *options])
        assert done.output.count("\n") <= 1
        return done.output

    assert "--no-retrain or --host. Received: both" in run("--no-retrain", "--host=http://kfp")
    assert "--host expects a URL" in run("--host=kfp")
    assert "no hardware 'gqu'" in run("--host=http://kfp", "--hardware=gqu")
    assert asked == []
    options = ["--namespace=ada", "--token-file=/t", "--volume=/v", "--image=me/i:1"]
    assert run("--host=http://kfp", *options) == ""
    (request,) = asked
    cluster = request.cluster
    assert (cluster.host, cluster.token_file, cluster.namespace) == ("http://kfp", "/t", "ada")
    assert cluster.records == "/v/records"
    assert request.hardware["image"] == "me/i:1"
    assert request.hardware["volume"]["mount"] == "/v"
    run()
    assert asked[1].cluster is None


def test_a_folder_that_is_not_there_is_a_mistake_and_stays_away(tmp_path: Path) -> None:
    typo = tmp_path / "typo"
    found = CliRunner().invoke(main, ["monitor", "text", f"--output={typo}"])
    assert found.exit_code == 2
    assert found.output.count("\n") == 1
    assert f"expected the gateway's store at {typo / 'store.sqlite'}. Received: no" in found.output
    elsewhere = f"--store=sqlite:///{typo / 'other.sqlite'}"
    found = CliRunner().invoke(main, ["monitor", "text", f"--output={tmp_path}", elsewhere])
    assert "other.sqlite. Received: no such file" in found.output
    assert not typo.exists()


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"outcome": "rejected"}, "retraining succeeded as r1, which was rejected: it drifted"),
        ({"outcome": "pending"}, "retraining succeeded as r1, which waits for approval: it drift"),
        ({"error": "out of disk"}, "retraining succeeded as r1: out of disk"),
    ],
)
def test_a_retraining_that_went_through_says_what_became_of_its_model(
    details: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {"verdict": "retrain", "headline": [], "suggestions": [], "figures": {}, "notes": []}
    entry = {"state": "succeeded", "run": "r1", "reason": "it drifted", "details": details}
    result = MonitoringResult(report, entry, "", False, [], tmp_path)
    cli_monitor._sum_up(Face(), result)
    assert said in capsys.readouterr().out
