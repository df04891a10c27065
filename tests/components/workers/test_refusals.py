"""Why workers do not train is one line, and its exit code says whose fault it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import (
    ClusterError,
    TrainingError,
    WorkerFailedError,
    WorkerLostError,
)
from tests.components.workers.conftest import ONE_KIND, Launcher, only
from tests.components.workers.fake_cluster import FakeCluster


@ONE_KIND
@pytest.mark.parametrize(
    ("installed", "expected"),
    [(("pods", "events"), "expected trainjobs.trainer.kubeflow.org/v1alpha1 on the cluster")],
)
def test_a_kind_that_is_not_installed_is_named_with_what_to_install(
    installed: tuple[str, ...], expected: str, launcher: Launcher, fake: FakeCluster
) -> None:
    fake.installed = set(installed)
    line = only(launcher.start(), ClusterError)
    assert expected in line
    assert "install Kubeflow Trainer 2" in line
    assert "workers.job: TFJob" in line


@pytest.mark.parametrize("job", ["TFJob"])
def test_the_older_kind_is_named_with_what_to_install(
    launcher: Launcher, fake: FakeCluster
) -> None:
    fake.installed = {"pods", "events", "trainjobs"}
    line = only(launcher.start(), ClusterError)
    assert "expected tfjobs.kubeflow.org/v1 on the cluster" in line
    assert "workers.job: TrainJob" in line


@ONE_KIND
def test_an_account_that_is_not_known_is_told_so(
    launcher: Launcher, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path, token="stale")))
    line = only(launcher.start(), ClusterError)
    assert line == "expected the cluster to know who asks. Received: 401 Unauthorized"


@ONE_KIND
@pytest.mark.parametrize("missing", ["trainjobs", "trainingruntimes", "pods"])
def test_a_right_that_is_missing_is_named(
    missing: str, launcher: Launcher, fake: FakeCluster
) -> None:
    assert fake.rules is not None
    fake.rules = [rule for rule in fake.rules if missing not in rule["resources"]]
    line = only(launcher.start(), ClusterError)
    assert "manifests/workers" in line
    assert f'resource "{missing}"' in line
    fake.forbidden.clear()


@ONE_KIND
def test_without_a_way_into_a_cluster_nothing_is_tried(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "a file that KUBECONFIG names" in only(launcher.start(), ClusterError)


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
    line = only(step, ClusterError)
    assert "0 of them started; Error creating: pods is forbidden: exceeded quota: team" in line
    assert ClusterError.exit_code == 2
    fake.wait_for(lambda: not fake.job())


@ONE_KIND
def test_a_quota_that_refuses_the_job_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    from tests.components.workers.fake_http import Status

    def refuse(one: dict[str, Any]) -> None:
        if one["kind"] == "TrainJob":
            raise Status(403, "trainjobs is forbidden: exceeded quota: jobs, requested: count=1")

    fake.validate = refuse
    line = only(launcher.start(), ClusterError)
    assert line.startswith("expected room for the job in the namespace's quota")
    fake.wait_for(lambda: not fake.objects)


def test_an_image_that_cannot_be_pulled_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start(pending_minutes=0.01)
    fake.wait_for_pods()
    fake.start(0)
    fake.wait_state(1, "ImagePullBackOff", 'Back-off pulling image "loomline:test"')
    line = only(step, ClusterError)
    assert '1 of them started; ImagePullBackOff Back-off pulling image "loomline:test"' in line
    fake.wait_for(lambda: not fake.job())


@ONE_KIND
def test_what_no_waiting_mends_is_told_at_once(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.wait_state(0, "InvalidImageName", 'couldn\'t parse image "loomline:te st"')
    assert "InvalidImageName" in only(step, ClusterError)


@ONE_KIND
def test_a_node_that_is_not_there_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start(pending_minutes=0.01)
    [pod, _] = fake.wait_for_pods()
    unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
    fake._store("MODIFIED", "pods", {**pod, "status": {"phase": "Pending", "conditions": [unfit]}})
    assert "3 Insufficient nvidia.com/gpu" in only(step, ClusterError)
    assert "progress: 0 of 2 workers have started; waiting: 0/3 nodes" in step.printed


@ONE_KIND
def test_a_job_that_waits_in_a_queue_is_waited_for(launcher: Launcher, fake: FakeCluster) -> None:
    fake.makes_pods = False
    step = launcher.start(pending_minutes=0.02)
    job = fake.wait_for(fake.job)
    fake.conclude("Suspended", "Suspended", "by Kueue")
    time.sleep(1.5)
    fake.resume()
    # Its nodes are looked for from here on.
    time.sleep(0.3)
    assert step.thread.is_alive(), step.error
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
    line = only(step, TrainingError)
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
    line = only(step, WorkerLostError)
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
    assert told in only(step, kind)


@ONE_KIND
def test_a_deadline_is_told(launcher: Launcher, fake: FakeCluster) -> None:
    step = launcher.start()
    fake.wait_for_pods()
    fake.start(0, 1)
    fake.conclude("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    assert "timeout_minutes.train" in only(step, ClusterError)
