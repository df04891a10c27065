"""Waiting for a run: its steps are told of, its outcome is the exit code, and it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fake_kubeflow import STEPS, FakeKubeflow, Fault

from pipelines.compilation import Package
from pipelines.finishing.finish import SUMMARY_PREFIX

Loomline = Callable[..., Result]
ROOT = Path(__file__).parents[3]


def summary(outcome: str, reason: str = "approved: 8 of 11 rules pass") -> str:
    content = {
        "outcome": outcome,
        "decision": {"approved": outcome != "rejected", "reason": reason},
        "figures": {"bits_per_byte": 1.689, "yardsticks.xz": 1.851},
    }
    return f"starting\n{SUMMARY_PREFIX}{json.dumps(content)}\n"


def plays(kubeflow: FakeKubeflow, *moves: Callable[[dict[str, Any]], None]) -> None:
    """Moves a run on by one move a look."""
    left = list(moves)
    kubeflow.on_look = lambda run: left.pop(0)(run) if left else None


def runs_well(kubeflow: FakeKubeflow, outcome: str) -> None:
    def begins(run: dict[str, Any]) -> None:
        run["state"] = "RUNNING"
        kubeflow.step(run, "ingest", "RUNNING")

    def trains(run: dict[str, Any]) -> None:
        for step in ("ingest", "validate", "transform"):
            kubeflow.step(run, step, "SUCCEEDED", f"{step} is done\n")
        kubeflow.step(run, "train", "RUNNING", "progress: step 1\n")

    def ends(run: dict[str, Any]) -> None:
        for step in STEPS:
            pushed = step != "push" or outcome != "rejected"
            kubeflow.step(run, step, "SUCCEEDED" if pushed else "SKIPPED", "progress: step 1\n2\n")
        kubeflow.end(run, "SUCCEEDED", summary(outcome))

    plays(kubeflow, begins, trains, ends)


@pytest.mark.parametrize(
    ("outcome", "code"), [("pushed", 0), ("pending", 0), ("finished", 0), ("rejected", 3)]
)
def test_the_exit_code_is_the_outcome(
    kubeflow: FakeKubeflow, loomline: Loomline, outcome: str, code: int, tmp_path: Path
) -> None:
    runs_well(kubeflow, outcome)
    paths = f"--result={tmp_path / 'r.json'}", f"--metrics={tmp_path / 'm.txt'}"
    result = loomline("--wait", *paths)
    assert result.exit_code == code, result.output
    assert f"{outcome}: approved: 8 of 11 rules pass" in result.stdout
    assert "  … train      running" in result.stdout
    assert "  ✓ train      succeeded" in result.stdout
    for inner in ("driver", "  steps", " approved "):
        assert inner not in result.stdout
    told = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert told["outcome"] == outcome
    assert told["run_id"] in kubeflow.runs
    assert told["figures"]["bits_per_byte"] == 1.689
    assert (tmp_path / "m.txt").read_text("utf-8") == (
        "loomline_bits_per_byte 1.689\nloomline_yardsticks_xz 1.851\n# EOF\n"
    )


@pytest.mark.parametrize(("push", "code"), [("SUCCEEDED", 0), ("SKIPPED", 3)])
def test_without_logs_the_steps_tell_the_outcome(
    kubeflow: FakeKubeflow, loomline: Loomline, push: str, code: int
) -> None:
    def ends(run: dict[str, Any]) -> None:
        kubeflow.step(run, "gate", "SUCCEEDED")
        kubeflow.step(run, "push", push)
        kubeflow.end(run, "SUCCEEDED")
        kubeflow.logs.clear()

    plays(kubeflow, ends)
    assert loomline("--wait").exit_code == code


def test_a_users_mistake_in_a_step_is_exit_code_2(
    kubeflow: FakeKubeflow, loomline: Loomline
) -> None:
    def fails(run: dict[str, Any]) -> None:
        kubeflow.step(run, "ingest", "FAILED", "reading\nerror: expected text. Received: rows\n")
        kubeflow.end(run, "FAILED")

    plays(kubeflow, fails)
    result = loomline("--wait")
    assert result.exit_code == 2
    assert "failed: ingest: expected text. Received: rows" in result.stdout
    assert "    ingest | reading" in result.stdout


def test_a_defect_is_exit_code_1(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    def fails(run: dict[str, Any]) -> None:
        kubeflow.step(run, "train", "FAILED", "Traceback\nZeroDivisionError\n", why="exit code 1")
        kubeflow.end(run, "FAILED")

    plays(kubeflow, fails)
    result = loomline("--wait")
    assert result.exit_code == 1
    assert "failed: train: exit code 1" in result.stdout
    assert "    train | ZeroDivisionError" in result.stdout


def test_cancelled_in_the_ui_is_said_so(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    plays(
        kubeflow,
        lambda run: kubeflow.step(run, "train", "RUNNING"),
        lambda run: run.update(state="CANCELING"),
        lambda run: run.update(state="CANCELED"),
    )
    result = loomline("--wait")
    assert result.exit_code == 130
    assert "cancelled: somebody cancelled it, in the UI or by the API" in result.stdout


@pytest.mark.parametrize(
    "why",
    [
        "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        "ImagePullBackOff: Back-off pulling image loomline/component-python:0.1.0-gpu",
        "",
    ],
)
def test_a_step_that_finds_no_node_or_image_is_given_up(
    kubeflow: FakeKubeflow, loomline: Loomline, why: str
) -> None:
    plays(kubeflow, lambda run: kubeflow.step(run, "train", "PENDING", why=why))
    result = loomline("--wait", "--pending-timeout=0.003")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: expected train to start in 0.18 s. Received: PENDING")
    assert (why or "the API does not say why") in result.stderr
    assert "accelerator" in result.stderr
    [run_id] = kubeflow.runs
    assert f"the run goes on: loomline submit --run {run_id}" in result.stderr
    if why:
        assert f"  … train      pending: {why}" in result.stdout


def test_time_is_up(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    def trains(run: dict[str, Any]) -> None:
        run["state"] = "RUNNING"
        kubeflow.step(run, "train", "RUNNING")

    plays(kubeflow, trains)
    result = loomline("--wait", "--timeout=0.003")
    assert result.exit_code == 2
    assert "to end in 0.18 s. Received: RUNNING (train); the run goes on" in result.stderr


@pytest.mark.parametrize("status", [0, 401, 429, 500])
def test_a_connection_that_is_lost_while_waiting(
    kubeflow: FakeKubeflow, loomline: Loomline, status: int
) -> None:
    runs_well(kubeflow, "pushed")
    times = 3 if status != 401 else 1
    fault = Fault("GET", "/runs/", status, times)
    kubeflow.faults = [fault]
    result = loomline("--wait")
    if status == 401:
        # Trying again would not help; the run is not lost.
        [run_id] = kubeflow.runs
        assert result.exit_code == 2
        assert f"loomline submit --run {run_id} waits again" in result.stderr
        result = loomline(f"--run={run_id}")
    assert result.exit_code == 0, result.output
    assert fault.times == 0


def test_a_long_outage_is_waited_through(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    runs_well(kubeflow, "pushed")
    kubeflow.faults = [Fault("GET", "/runs/", 503, times=8)]
    result = loomline("--wait")
    assert result.exit_code == 0, result.output
    assert "… not reached, trying again: expected" in result.stdout


def test_without_the_pipeline_the_steps_are_told_all_the_same(
    kubeflow: FakeKubeflow, loomline: Loomline
) -> None:
    runs_well(kubeflow, "pushed")
    kubeflow.faults = [Fault("GET", "/versions/", 403, times=9)]
    result = loomline("--wait")
    assert result.exit_code == 0, result.output
    assert "  ✓ train      succeeded" in result.stdout
    assert "driver" not in result.stdout


def test_a_run_that_is_not_there(loomline: Loomline) -> None:
    result = loomline("--run=nowhere")
    assert result.exit_code == 2
    assert "404 Failed to get a run: run nowhere not found" in result.stderr


def test_logs_are_followed_line_by_line(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    runs_well(kubeflow, "pushed")
    result = loomline("--wait", "--logs")
    lines = [line.strip() for line in result.stdout.splitlines() if " train | " in line]
    assert lines == ["train | progress: step 1", "train | 2"]
    assert "    ingest | ingest is done" in result.stdout


def test_ctrl_c_ends_the_wait_and_not_the_run(
    kubeflow: FakeKubeflow, host: str, package: Package
) -> None:
    plays(kubeflow, lambda run: kubeflow.step(run, "train", "RUNNING"))
    command = [sys.executable, "-m", "pipelines.cli", "submit", "text", f"--host={host}"]
    process = subprocess.Popen(
        [*command, f"--package={package.path}", "--wait", "--poll=0.05"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not kubeflow.requested("GET", "/runs/") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    [run_id] = kubeflow.runs
    assert process.returncode == 130
    assert f"stopped waiting; the run goes on: loomline submit --run {run_id}" in told
    assert kubeflow.requested("POST", ":terminate") == 0
