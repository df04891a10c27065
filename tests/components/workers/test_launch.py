"""The train step's job is made, watched, followed and ended, whatever the cluster does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from components import artifacts
from components.errors import (
    ClusterAwayError,
    ClusterError,
    ConfigError,
)
from components.train.component import train
from components.train.options import TrainOptions
from tests.components.workers.conftest import CARD, ONE_KIND, Launcher, Step, only
from tests.components.workers.fake_cluster import FakeCluster


def test_workers_train_and_the_step_has_their_model(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    launcher.succeed()
    assert step.end() is None
    assert step.figures == CARD
    assert (launcher.folder / "model/model.json").is_file()
    # Progress of the chief as it is, everything else with who said it.
    lines = step.printed.splitlines()
    assert "progress: step 12/12" in lines
    assert 'worker 0 | {"loss": 2.5}' in lines
    # Nothing is left, on the cluster or on the volume.
    fake.wait_for(lambda: not fake.objects)
    assert not list((launcher.volume / "workers").iterdir())


def test_the_train_step_has_workers_train_where_it_is_told_of_them(
    launcher: Launcher, fake: FakeCluster
) -> None:
    """As Kubeflow calls it: every number of a struct is a fraction."""
    folder = launcher.folder
    inputs = [types.SimpleNamespace(path=str(folder / name)) for name in ("transformed", "graph")]
    outputs = [types.SimpleNamespace(path=str(folder / name), metadata={}) for name in ("m", "l")]
    figures: dict[str, float] = {}
    metrics = types.SimpleNamespace(path=str(folder / "figures"), log_metric=figures.__setitem__)
    options = TrainOptions(distribution="multi_worker").model_dump(mode="json")
    workers = {**launcher.workers.model_dump(mode="json"), "count": 2.0, "restarts": 1.0}
    step = Step(
        lambda: train.python_func(
            *inputs,
            **options,
            checkpoints=str(launcher.volume / "checkpoints"),
            code_digest="",
            model=outputs[0],
            logs=outputs[1],
            metrics=metrics,
            workers=workers,
        )
    )
    launcher.succeed()
    assert step.end() is None
    assert figures == CARD
    assert outputs[0].metadata["digest"] == artifacts.Model(folder / "m").digest()


def test_the_job_belongs_to_the_run_that_the_step_belongs_to(
    launcher: Launcher, fake: FakeCluster
) -> None:
    workflow = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "text-x7k",
                "uid": "w-1", "controller": True, "blockOwnerDeletion": True}  # fmt: skip
    fake.add(
        "pods",
        {"metadata": {"name": "text-x7k-train", "ownerReferences": [workflow]},
         "spec": {}, "status": {"phase": "Running"}},
    )  # fmt: skip
    step = launcher.start(restarts=0)
    fake.wait_for(fake.job)
    owner = {key: workflow[key] for key in ("apiVersion", "kind", "name", "uid")}
    assert fake.made
    assert all(one["metadata"]["ownerReferences"] == [owner] for one in fake.made)
    fake.conclude("Failed", "Stopped", "by the test")
    step.end()


def test_a_step_that_is_run_again_goes_on_with_its_job(
    launcher: Launcher, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = launcher.start(patience=0.3)
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.wait_for(lambda: "all 2 workers" in first.printed)
    # The API goes away for longer than the first attempt waits: it leaves the job as it is.
    fake.fault("GET", ".*", 10_000, 503)
    fake.drop()
    line = only(first, ClusterAwayError)
    assert ClusterAwayError.exit_code == 75
    assert "503" in line
    assert fake.job() is not None

    fake.faults.clear()
    monkeypatch.setenv("LOOMLINE_ATTEMPT", "text-x7k.root.train.executor(1)")
    second = launcher.start()
    fake.wait_for(lambda: "going on with the" in second.printed)
    launcher.write_model()
    fake.finish(0, 0)
    fake.finish(1, 0)
    assert second.end() is None
    assert len([one for one in fake.made if one["kind"] != "TrainingRuntime"]) == 1


def test_a_job_of_other_options_or_a_failed_one_is_made_anew(
    launcher: Launcher, fake: FakeCluster
) -> None:
    fake.waits_before_gone = 0.2
    first = launcher.start(patience=0.3)
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.wait_for(lambda: "all 2 workers" in first.printed)
    fake.fault("GET", ".*", 10_000, 503)
    fake.drop()
    only(first, ClusterAwayError)
    fake.faults.clear()
    before = fake.job()
    assert before is not None

    second = launcher.start(options={"steps": 9})
    fake.wait_for(
        lambda: (now := fake.job()) and now["metadata"]["uid"] != before["metadata"]["uid"]
    )
    assert "going on" not in second.printed
    launcher.succeed()
    assert second.end() is None


@ONE_KIND
def test_a_job_of_somebody_else_is_left_alone(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start(restarts=0)
    made = fake.wait_for(fake.job)
    fake.conclude("Failed", "Stopped", "by the test")
    step.end()
    fake.wait_for(lambda: not fake.job())
    theirs = {"metadata": {"name": made["metadata"]["name"]}, "spec": made["spec"]}
    fake.add("trainjobs", theirs)
    assert "that Loomline did not make" in only(launcher.start(), ClusterError)
    assert fake.job() is not None


@pytest.mark.parametrize("code", [0, 429, 500, 503])
@ONE_KIND
def test_a_stumbling_api_is_asked_again_and_nothing_is_made_twice(
    code: int, launcher: Launcher, fake: FakeCluster
) -> None:
    for method in ("GET", "POST"):
        fake.fault(method, ".*", 2, code, **({"Retry_After": "0"} if code == 429 else {}))
    step = launcher.start()
    launcher.succeed()
    assert step.end() is None
    assert [one["kind"] for one in fake.made] == ["TrainingRuntime", "TrainJob"]


@ONE_KIND
def test_an_answer_that_is_lost_makes_no_second_job(
    launcher: Launcher, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fake.create
    lost = ["trainjobs", "trainingruntimes"]

    def create(plural: str, one: dict[str, Any]) -> dict[str, Any]:
        made = real(plural, one)
        if plural in lost:
            lost.remove(plural)
            raise ConnectionError
        return made

    monkeypatch.setattr(fake, "create", create)
    step = launcher.start()
    fake.wait_for(lambda: "going on with" in step.printed)
    launcher.succeed()
    assert step.end() is None
    assert [one["kind"] for one in fake.made].count("TrainJob") == 1


def test_watches_that_break_or_expire_are_taken_up_again(
    launcher: Launcher, fake: FakeCluster
) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.drop()
    fake.start(0)
    fake.say(0, "one")
    fake.wait_for(lambda: "worker 0 | one" in step.printed)
    fake.drop()
    fake.compact()
    fake.start(1)
    fake.say(0, "two")
    fake.say(1, "three")
    fake.wait_for(lambda: "worker 1 | three" in step.printed)
    fake.drop()
    launcher.write_model()
    fake.finish(1, 0)
    fake.say(0, "four")
    fake.finish(0, 0)
    assert step.end() is None
    # No line is lost, and none is said twice.
    said = [line for line in step.printed.splitlines() if line.startswith("worker 0 |")]
    assert said == ["worker 0 | one", "worker 0 | two", "worker 0 | four"]
    lists = [path for method, path in fake.asked if method == "GET" and "watch" not in path]
    assert len([path for path in lists if "labelSelector" in path]) >= 2  # after 410, anew


def test_a_job_that_somebody_deletes_ends_the_step(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.wait_for(lambda: "all 2 workers" in step.printed)
    job = fake.job()
    assert job is not None
    plural = "trainjobs" if job["kind"] == "TrainJob" else "tfjobs"
    fake.delete(plural, job["metadata"]["name"], {})
    assert "somebody deleted it" in only(step, ClusterError)


@ONE_KIND
@pytest.mark.parametrize(
    ("options", "changed", "told"),
    [
        ({"distribution": "single"}, {}, "train.distribution: expected multi_worker"),
        ({}, {"mount": "/nowhere/else"}, "checkpoints: expected a folder below /nowhere/else"),
    ],
)
def test_what_does_not_fit_many_workers_is_refused(
    options: dict[str, Any], changed: dict[str, Any], told: str,
    launcher: Launcher, fake: FakeCluster,
) -> None:  # fmt: skip
    assert told in only(launcher.start(options=options, **changed), ConfigError)
    assert fake.asked == []


@ONE_KIND
def test_a_cancelled_step_deletes_its_job(
    launcher: Launcher, fake: FakeCluster, tmp_path: Path
) -> None:
    """By SIGTERM, as Argo ends a step: within less than the second that a container may have."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from components.errors import one_line_errors\n"
        "from components.train.options import TrainOptions\n"
        "from components.workers.launch import train_on_workers\n"
        "from components.workers.options import Workers\n"
        "folder = Path(sys.argv[1])\n"
        "names = ('transformed', 'graph')\n"
        "with one_line_errors():\n"
        "    train_on_workers(*(folder / n for n in names),\n"
        "        TrainOptions(distribution='multi_worker'), folder / 'volume/checkpoints',\n"
        "        folder / 'model', folder / 'logs', Workers.model_validate_json(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), launcher.workers.model_dump_json()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        fake.wait_for_pods()
        fake.start(0, 1)
        fake.wait_for(lambda: any("/log" in path for _, path in fake.asked))
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, printed
    assert "Traceback" not in printed
    assert not fake.objects
