"""A fake cluster, and a launch of workers on it that does not wait as long as a real one."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import artifacts
from components.train.options import TrainOptions
from components.workers.cluster import Cluster
from components.workers.following import Patience
from components.workers.launch import train_on_workers
from components.workers.options import Workers
from components.workers.plan import Plan
from tests.components.workers.fake_cluster import FakeCluster

ROOT = Path(__file__).parents[3]
QUICK = Patience(look=0.02, settle=0.4, rest=2.0)
ONE_KIND = pytest.mark.parametrize("job", ["TrainJob"])
CARD = {
    "loss": 2.5, "eval_loss": 2.75, "steps": 12, "parameters": 99, "tokens_per_second": 7.0,
    "seconds": 3.0,
}  # fmt: skip


def rules_of(job: str) -> list[dict[str, Any]]:
    """What the manifest of a kind of job lets the step do."""
    file = ROOT / f"manifests/workers/{job.lower()}-access.yaml"
    role, _ = yaml.safe_load_all(file.read_text("utf-8"))
    rules: list[dict[str, Any]] = role["rules"]
    return rules


@pytest.fixture(params=["TrainJob", "TFJob"])
def job(request: pytest.FixtureRequest) -> str:
    """Either kind of job; a test that wants one only says which by its own fixture."""
    return str(request.param)


@pytest.fixture
def fake(job: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster on which the step has the rights of the manifest, and no others."""
    cluster = FakeCluster(rules_of(job))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
    monkeypatch.setenv("LOOMLINE_ATTEMPT", "text-x7k.root.train.executor(0)")
    monkeypatch.setenv("HOSTNAME", "text-x7k-train")
    yield cluster
    cluster.close()
    # Whatever the manifest does not grant was not needed.
    assert cluster.forbidden == []


class Step:
    """The train step in a thread: what it printed, and what it ended by."""

    def __init__(self, run: Callable[[], dict[str, float]]) -> None:
        self._printed = io.StringIO()
        self.figures: dict[str, float] = {}
        self.error: BaseException | None = None
        self._run = run
        self.thread = threading.Thread(target=self._attend, daemon=True)
        self.thread.start()

    def _attend(self) -> None:
        try:
            with contextlib.redirect_stdout(self._printed):
                self.figures = self._run()
        except BaseException as error:
            self.error = error

    @property
    def printed(self) -> str:
        return self._printed.getvalue()

    def end(self, seconds: float = 20) -> BaseException | None:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), self.printed
        return self.error


class Launcher:
    """Starts the step for a fake cluster."""

    def __init__(self, fake: Any, folder: Path, job: str) -> None:
        self.fake, self.folder = fake, folder
        self.volume = folder / "volume"
        self.volume.mkdir()
        for name in ("transformed", "graph"):
            (folder / name).mkdir()
            (folder / name / "data").write_text(name, "utf-8")
        self.workers = Workers(
            count=2, job=job, restarts=1, image="loomline:test", cpu="1", memory="1Gi",
            claim="loomline", mount=str(self.volume), pending_minutes=10,
        )  # fmt: skip

    def start(self, patience: float = 10, options: Any = None, **changed: Any) -> Step:
        workers = self.workers.model_copy(update=changed)
        chosen = TrainOptions.model_validate({"distribution": "multi_worker", **(options or {})})

        def run() -> dict[str, float]:
            cluster = Cluster(patience=patience, first_wait=0.02)
            try:
                return train_on_workers(
                    self.folder / "transformed",
                    self.folder / "graph",
                    chosen,
                    self.volume / "checkpoints",
                    self.folder / "model",
                    self.folder / "logs",
                    workers,
                    cluster,
                    QUICK,
                )
            finally:
                cluster.close()

        return Step(run)

    def plan(self, name: str, namespace: str) -> Plan:
        """What the step asks for, but for the arguments and the owner."""
        return Plan(name, namespace, self.workers, ("",) * 6)

    @property
    def written(self) -> artifacts.Model:
        """Where the chief writes the model."""
        [workspace] = (self.volume / "workers").iterdir()
        return artifacts.Model(workspace / "model")

    def write_model(self) -> None:
        """Does what the chief does in the end."""
        self.written.saved_model.mkdir(parents=True)
        (self.written.saved_model / "saved_model.pb").write_bytes(b"model")
        self.written.write_card(CARD)

    def succeed(self) -> None:
        """The workers start, train and end."""
        self.fake.wait_for_pods()
        self.fake.start(0, 1)
        self.write_model()
        self.fake.say(0, "progress: step 12/12", '{"loss": 2.5}')
        self.fake.finish(1, 0)
        self.fake.finish(0, 0)


@pytest.fixture
def launcher(fake: FakeCluster, tmp_path: Path, job: str) -> Launcher:
    return Launcher(fake, tmp_path, job)


def only(step: Step, kind: type[BaseException]) -> str:
    """The line that the step ended by, of an error of that kind."""
    error = step.end()
    assert type(error) is kind or isinstance(error, kind), (error, step.printed)
    assert "\n" not in str(error)
    return str(error)
