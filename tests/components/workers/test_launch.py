"""The train step's job is made, watched, followed and ended, whatever the cluster does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import (
    ClusterAwayError,
    ClusterError,
    ConfigError,
    TrainingError,
    WorkerFailedError,
    WorkerLostError,
)
from tests.components.workers.conftest import CARD, Launcher
from tests.components.workers.fake_cluster import FakeCluster

ONE_KIND = pytest.mark.parametrize("job", ["TrainJob"])


def _only(step: Any, kind: type[BaseException]) -> str:
    error = step.end()
    assert type(error) is kind or isinstance(error, kind), (error, step.printed)
    assert "\n" not in str(error)
    return str(error)


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
    line = _only(first, ClusterAwayError)
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
    _only(first, ClusterAwayError)
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
    assert "that Loomline did not make" in _only(launcher.start(), ClusterError)
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


@ONE_KIND
@pytest.mark.parametrize(
    ("installed", "expected"),
    [(("pods", "events"), "expected trainjobs.trainer.kubeflow.org/v1alpha1 on the cluster")],
)
def test_a_kind_that_is_not_installed_is_named_with_what_to_install(
    installed: tuple[str, ...], expected: str, launcher: Launcher, fake: FakeCluster
) -> None:
    fake.installed = set(installed)
    line = _only(launcher.start(), ClusterError)
    assert expected in line
    assert "install Kubeflow Trainer 2" in line
    assert "workers.job: TFJob" in line


@pytest.mark.parametrize("job", ["TFJob"])
def test_the_older_kind_is_named_with_what_to_install(
    launcher: Launcher, fake: FakeCluster
) -> None:
    fake.installed = {"pods", "events", "trainjobs"}
    line = _only(launcher.start(), ClusterError)
    assert "expected tfjobs.kubeflow.org/v1 on the cluster" in line
    assert "workers.job: TrainJob" in line


@ONE_KIND
def test_an_account_that_is_not_known_is_told_so(
    launcher: Launcher, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path, token="stale")))
    line = _only(launcher.start(), ClusterError)
    assert line == "expected the cluster to know who asks. Received: 401 Unauthorized"


@ONE_KIND
@pytest.mark.parametrize("missing", ["trainjobs", "trainingruntimes", "pods"])
def test_a_right_that_is_missing_is_named(
    missing: str, launcher: Launcher, fake: FakeCluster
) -> None:
    assert fake.rules is not None
    fake.rules = [rule for rule in fake.rules if missing not in rule["resources"]]
    line = _only(launcher.start(), ClusterError)
    assert "manifests/workers" in line
    assert f'resource "{missing}"' in line
    fake.forbidden.clear()


@ONE_KIND
def test_without_a_way_into_a_cluster_nothing_is_tried(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "a file that KUBECONFIG names" in _only(launcher.start(), ClusterError)


def test_a_quota_that_refuses_the_pods_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    fake.makes_pods = False
    step = launcher.start(pending_minutes=0.005)
    job = fake.wait_for(fake.job)
    name = job["metadata"]["name"]
    fake.add(
        "events",
        {
            "metadata": {"name": "e1"},
            "type": "Warning",
            "reason": "FailedCreate",
            "involvedObject": {"kind": "Job", "name": f"{name}-node-0"},
            "message": "Error creating: pods is forbidden: exceeded quota: team, requested: cpu=8",
            "lastTimestamp": "2026-11-28T16:00:00Z",
        },
    )
    line = _only(step, ClusterError)
    assert "0 of them started; Error creating: pods is forbidden: exceeded quota: team" in line
    assert ClusterError.exit_code == 2
    fake.wait_for(lambda: not fake.job())


@ONE_KIND
def test_a_quota_that_refuses_the_job_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    from tests.components.workers.fake_cluster import Status

    def refuse(one: dict[str, Any]) -> None:
        if one["kind"] == "TrainJob":
            raise Status(403, "trainjobs is forbidden: exceeded quota: jobs, requested: count=1")

    fake.validate = refuse
    line = _only(launcher.start(), ClusterError)
    assert line.startswith("expected room for the job in the namespace's quota")
    fake.wait_for(lambda: not fake.objects)


def test_an_image_that_cannot_be_pulled_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start(pending_minutes=0.01)
    fake.wait_for_pods()
    fake.start(0)
    fake.wait_state(1, "ImagePullBackOff", 'Back-off pulling image "loomline:test"')
    line = _only(step, ClusterError)
    assert '1 of them started; ImagePullBackOff Back-off pulling image "loomline:test"' in line
    fake.wait_for(lambda: not fake.job())


@ONE_KIND
def test_what_no_waiting_mends_is_told_at_once(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.wait_state(0, "InvalidImageName", 'couldn\'t parse image "loomline:te st"')
    assert "InvalidImageName" in _only(step, ClusterError)


@ONE_KIND
def test_a_node_that_is_not_there_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start(pending_minutes=0.01)
    [pod, _] = fake.wait_for_pods()
    unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
    fake._store("MODIFIED", "pods", {**pod, "status": {"phase": "Pending", "conditions": [unfit]}})
    assert "3 Insufficient nvidia.com/gpu" in _only(step, ClusterError)
    assert "progress: 0 of 2 workers have started; waiting: 0/3 nodes" in step.printed


@ONE_KIND
def test_a_job_that_waits_in_a_queue_is_waited_for(launcher: Launcher, fake: FakeCluster) -> None:
    fake.makes_pods = False
    step = launcher.start(pending_minutes=0.003)
    job = fake.wait_for(fake.job)
    fake.conclude("Suspended", "Suspended", "by Kueue")
    time.sleep(0.5)
    assert step.thread.is_alive()
    fake.makes_pods = True
    for index in range(2):
        fake._make_pod("trainjobs", job, index)
    fake.start(0, 1)
    launcher.write_model()
    fake.finish(0, 0)
    fake.finish(1, 0)
    assert step.end() is None


def test_a_workers_mistake_is_the_steps_and_nothing_is_tried_again(
    launcher: Launcher, fake: FakeCluster
) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    # The others lose the one that made it, and may be the first to end.
    fake.say(0, "error: expected every worker to go on. Received: connection reset")
    fake.finish(0, 75)
    fake.say(1, "error: train.learning_rate: expected a finite loss. Received: nan")
    fake.finish(1, 2)
    line = _only(step, TrainingError)
    assert line == "worker 1: train.learning_rate: expected a finite loss. Received: nan"
    assert len([one for one in fake.made if one["kind"] != "TrainingRuntime"]) == 1
    fake.wait_for(lambda: not fake.job())


def test_a_lost_worker_has_all_start_again(launcher: Launcher, fake: FakeCluster) -> None:
    fake.waits_before_gone = 0.1
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.finish(1, 137)
    fake.finish(0, 75)
    fake.wait_for(lambda: "starting all again, 1 of 1" in step.printed)
    fake.wait_for(lambda: len([one for one in fake.made if one["kind"] != "TrainingRuntime"]) == 2)
    launcher.succeed()
    assert step.end() is None


def test_workers_that_are_lost_too_often_end_the_step(
    launcher: Launcher, fake: FakeCluster
) -> None:
    step = launcher.start(restarts=0)
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.evict(1)
    line = _only(step, WorkerLostError)
    assert "worker 1: The node was low on resource: memory." in line
    assert WorkerLostError.exit_code == 75
    fake.wait_for(lambda: not fake.job())


@ONE_KIND
@pytest.mark.parametrize(
    ("code", "reason", "kind", "told"),
    [
        (137, "OOMKilled", ClusterError, "Raise memory in the profile of hardware"),
        (1, "Error", WorkerFailedError, "Received: 1, by a defect"),
        (3, "Error", WorkerFailedError, "Received: 3, by what nobody foresaw"),
    ],
)
def test_how_a_worker_ended_says_whose_fault_it_was(
    code: int, reason: str, kind: type[BaseException], told: str,
    launcher: Launcher, fake: FakeCluster,
) -> None:  # fmt: skip
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.finish(1, code, reason)
    fake.finish(0, 75)
    assert told in _only(step, kind)


@ONE_KIND
def test_a_deadline_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.conclude("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    assert "timeout_minutes.train" in _only(step, ClusterError)


def test_a_job_that_somebody_deletes_ends_the_step(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.wait_for(lambda: "all 2 workers" in step.printed)
    job = fake.job()
    assert job is not None
    plural = "trainjobs" if job["kind"] == "TrainJob" else "tfjobs"
    fake.delete(plural, job["metadata"]["name"], {})
    assert "somebody deleted it" in _only(step, ClusterError)


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
    assert told in _only(launcher.start(options=options, **changed), ConfigError)
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
