"""Workers, each a process of its own, learn together what one learns, and survive losing one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components import artifacts
from components.train.options import TrainOptions
from components.train.train import run as train

OPTIONS = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context": 8,
    "batch_size": 4,
    "steps": 12,
    "warmup_steps": 2,
    "eval_every": 6,
    "preview_every": 0,
    "ema": 0.5,
    "l1": 1e-5,
    "xla": False,
    "worker_timeout": 120,
}


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> artifacts.Model:
    """What one worker makes of the data."""
    return _alone(data, tmp_path_factory.mktemp("alone"))


def _alone(data: Path, folder: Path, **changed: Any) -> artifacts.Model:
    options = TrainOptions.model_validate({**OPTIONS, **changed})
    places = (folder / "checkpoints", folder / "model", folder / "logs")
    train(data / "transformed", data / "graph", options, *places)
    return artifacts.Model(folder / "model")


class Workers:
    """Processes of the worker's program, which find each other by TF_CONFIG on loopback."""

    def __init__(self, count: int, data: Path, folder: Path, **changed: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(count)]}
        arguments = {
            "--transformed": data / "transformed",
            "--graph": data / "graph",
            "--options": json.dumps({**OPTIONS, **changed}),
            "--checkpoints": folder / "checkpoints",
            "--model": folder / "model",
            "--logs": folder / "logs",
        }
        command = [sys.executable, "-m", "components.train.worker"]
        command += [str(part) for pair in arguments.items() for part in pair]
        self.processes = []
        for index in range(count):
            task = {"type": "worker", "index": index}
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TF_CONFIG": json.dumps({"cluster": cluster, "task": task}),
                "TF_NUM_INTRAOP_THREADS": "1",
            }
            with self._log(index).open("w") as log:
                self.processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                )

    def _log(self, index: int) -> Path:
        return self.folder / f"worker-{index}.log"

    def log(self, index: int) -> str:
        return self._log(index).read_text("utf-8")

    def wait(self, seconds: float) -> Sequence[int]:
        """Exit codes of all, within so many seconds."""
        end = time.monotonic() + seconds
        return [process.wait(max(0.1, end - time.monotonic())) for process in self.processes]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def workers() -> Iterator[list[Workers]]:
    """Gets the workers that a test starts; none outlives it."""
    started: list[Workers] = []
    yield started
    for group in started:
        for process in group.processes:
            process.kill()
            process.wait()


def _assert_same_weights(
    model: artifacts.Model, expected: artifacts.Model, atol: float = 2e-6
) -> None:
    found, wanted = (
        keras.models.load_model(each.keras_path).numpy_weights() for each in (model, expected)
    )
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=atol, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_workers_reach_the_loss_and_the_weights_of_one(
    count: int, data: Path, alone: artifacts.Model, tmp_path: Path, workers: list[Workers]
) -> None:
    workers.append(Workers(count, data, tmp_path / "many"))
    group = workers[0]

    assert group.wait(300) == [0] * count, group.log(0)

    model = artifacts.Model(group.folder / "model")
    for found, wanted in zip(model.card()["history"], alone.card()["history"], strict=True):
        assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
        assert found["eval_loss"] == pytest.approx(wanted["eval_loss"], abs=1e-5)
    _assert_same_weights(model, alone)
    assert (model.saved_model / "saved_model.pb").is_file()
    # The chief alone speaks and writes; all say the same figures in the end.
    assert len(list((group.folder / "logs").glob("events.out.tfevents.*"))) == 1
    assert "progress:" in group.log(0)
    assert not any("progress:" in group.log(index) for index in range(1, count))
    figures = [json.loads(group.log(index).splitlines()[-1]) for index in range(count)]
    assert len({figure["eval_loss"] for figure in figures}) == 1
    assert not list((group.folder / "checkpoints").glob("*/checkpoint.npz"))


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_and_all_resume(
    data: Path, tmp_path: Path, workers: list[Workers]
) -> None:
    changed = {"steps": 1500, "eval_every": 500, "checkpoint_seconds": 1}
    broken = Workers(2, data, tmp_path / "broken", **changed)
    workers.append(broken)
    while not list(broken.folder.glob("checkpoints/*/checkpoint.npz")):
        assert broken.processes[0].poll() is None, broken.log(0)
        time.sleep(0.02)
    broken.processes[1].send_signal(signal.SIGKILL)

    assert broken.wait(60) == [75, -signal.SIGKILL]
    line = broken.log(0).splitlines()[-1]
    assert line.startswith("error: expected every worker to go on. Received: ")
    assert not (broken.folder / "model").exists()

    again = Workers(2, data, tmp_path / "broken", **changed)
    workers.append(again)
    assert again.wait(300) == [0, 0], again.log(0)
    assert "progress: resuming at step" in again.log(0)
    whole = _alone(data, tmp_path / "whole", **changed)
    resumed = artifacts.Model(again.folder / "model")
    assert resumed.card()["eval_loss"] == pytest.approx(whole.card()["eval_loss"], abs=1e-3)
    _assert_same_weights(resumed, whole, atol=1e-3)


@pytest.mark.slow
def test_a_worker_that_never_comes_is_named_in_one_line(
    data: Path, tmp_path: Path, workers: list[Workers]
) -> None:
    workers.append(Workers(2, data, tmp_path / "many", worker_timeout=1))
    group = workers[0]
    group.processes[1].kill()

    assert group.wait(120) == [75, -signal.SIGKILL]
    assert "Received: none at 127.0.0.1:" in group.log(0).splitlines()[-1]
