"""The step on a cluster whose pods are real worker processes: they train, lose one, and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components import artifacts
from components.train.options import TrainOptions
from components.train.train import run
from components.workers.cluster import Cluster
from components.workers.following import Patience
from components.workers.launch import train_on_workers
from components.workers.options import Workers
from tests.components.train.conftest import data as data  # a fixture
from tests.components.train.test_worker import OPTIONS, _free_ports
from tests.components.workers.conftest import Step, rules_of
from tests.components.workers.fake_cluster import FakeCluster
from tests.components.workers.fake_nodes import Processes

CHANGED = {"steps": 600, "eval_every": 200, "checkpoint_seconds": 1, "distribution": "multi_worker"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_workers_that_lose_one_are_started_again_and_learn_what_one_learns(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeCluster(rules_of("TrainJob"))
    fake.nodes = Processes(fake, _free_ports(2))
    fake.waits_before_gone = 0.1
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
    monkeypatch.setenv("LOOMLINE_ATTEMPT", "text-x7k.root.train.executor(0)")
    volume = tmp_path / "volume"
    volume.mkdir()
    workers = Workers(
        count=2, image="loomline:test", cpu="1", memory="1Gi", claim="loomline", mount=str(volume)
    )
    options = TrainOptions.model_validate({**OPTIONS, **CHANGED})

    def train() -> dict[str, float]:
        return train_on_workers(
            data / "transformed",
            data / "graph",
            options,
            volume / "checkpoints",
            tmp_path / "model",
            tmp_path / "logs",
            workers,
            Cluster(first_wait=0.1),
            Patience(look=0.1, settle=15, rest=5),
        )

    try:
        step = Step(train)
        fake.wait_for(lambda: list(volume.glob("checkpoints/*/checkpoint.npz")), 120)
        [lost] = [name for name in fake.nodes.running if "-node-0-1-" in name]
        fake.nodes.running[lost].kill()
        assert step.end(240) is None, step.printed
    finally:
        fake.close()

    assert fake.forbidden == []
    assert "starting all again, 1 of 3" in step.printed
    assert "progress: resuming at step" in step.printed
    assert any(line.startswith("worker 1 | ") for line in step.printed.splitlines())
    model = artifacts.Model(tmp_path / "model")
    assert (model.saved_model / "saved_model.pb").is_file()
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))
    assert step.figures["steps"] == CHANGED["steps"]
    assert _alone(data, tmp_path / "alone")["eval_loss"] == pytest.approx(
        step.figures["eval_loss"], abs=1e-3
    )


def _alone(data: Path, folder: Path) -> dict[str, Any]:
    options = TrainOptions.model_validate({**OPTIONS, **CHANGED, "distribution": "single"})
    places = (folder / "checkpoints", folder / "model", folder / "logs")
    return dict(run(data / "transformed", data / "graph", options, *places))
