"""Kubernetes' own API server takes the jobs of the published definitions, and lets the step do it.

`make test-apiserver` builds it; where it is not there, these are skipped. No controller and no
kubelet runs: the test makes the pods, and says how they fare.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import ClusterError
from tests.components.workers.conftest import CARD, ROOT, Launcher, Step, only
from tests.serving.manifests.conftest import tool as tool  # fixtures
from tests.serving.manifests.make_schemas import TRAINER, TRAINING_OPERATOR
from tests.serving.manifests.test_apiserver import STEP_TOKEN, Api
from tests.serving.manifests.test_apiserver import api as api

NAMESPACE = {
    "apiVersion": "v1", "kind": "Namespace",
    "metadata": {"name": "runs", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}  # fmt: skip
FILES = {
    "TrainJob": (TRAINER, "trainer.kubeflow.org_train*.yaml", "trainer.kubeflow.org/v1alpha1"),
    "TFJob": (TRAINING_OPERATOR, "kubeflow.org_tfjobs.yaml", "kubeflow.org/v1"),
}


@pytest.fixture
def step(api: Api, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Starts the step on the API server, whose account has no rights yet."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "real",
                "cluster": {
                    "server": str(api.http.base_url).rstrip("/"),
                    "certificate-authority": str(api.folder / "certificates/apiserver.crt"),
                },
            }
        ],
        "users": [{"name": "step", "user": {"token": STEP_TOKEN}}],
        "contexts": [
            {"name": "real", "context": {"cluster": "real", "user": "step", "namespace": "runs"}}
        ],
        "current-context": "real",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content), "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("LOOMLINE_ATTEMPT", f"text-{job.lower()}.root.train.executor(0)")
    monkeypatch.setenv("HOSTNAME", "text-train")
    _applied(api, NAMESPACE)
    # Which a controller would make.
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    _applied(api, {**account, "metadata": {"name": "default", "namespace": "runs"}})
    return Launcher(None, tmp_path, job)


def test_a_right_that_is_missing_is_named(step: Launcher, api: Api, job: str) -> None:
    line = only(step.start(), ClusterError)
    assert "manifests/workers" in line
    assert 'User "system:serviceaccount:runs:pipeline-runner" cannot get resource "pods"' in line


def test_a_kind_that_is_not_installed_is_named(step: Launcher, api: Api, job: str) -> None:
    _grant(api, job)
    line = only(step.start(), ClusterError)
    assert f"on the cluster. Received: it knows no {job}: install" in line


def test_the_step_makes_its_job_and_sees_it_to_its_end(step: Launcher, api: Api, job: str) -> None:
    _grant(api, job)
    module, pattern, version = FILES[job]
    _define(api, module, pattern, version)
    started = step.start()
    plural = f"{job.lower()}s"
    jobs = f"/apis/{version}/namespaces/runs/{plural}"
    [made] = _wait(api, started, lambda: api.http.get(jobs).json()["items"])
    name = made["metadata"]["name"]
    stored, template, labels = [made], None, {}
    if job == "TrainJob":
        runtime = api.http.get(f"/apis/{version}/namespaces/runs/trainingruntimes/{name}").json()
        stored.append(runtime)
        [replicated] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        template = replicated["template"]["spec"]["template"]
        labels = {"jobset.sigs.k8s.io/jobset-name": name}
    else:
        template = made["spec"]["tfReplicaSpecs"]["Worker"]["template"]
        labels = {"training.kubeflow.org/job-name": name}
    _nothing_is_pruned(step, stored)

    pods = "/api/v1/namespaces/runs/pods"
    for index in range(2):
        pod = {**json.loads(json.dumps(template)), "apiVersion": "v1", "kind": "Pod"}
        pod["metadata"]["name"] = f"{name}-{index}"
        pod["metadata"]["labels"] |= labels
        pod["metadata"]["labels"]["training.kubeflow.org/replica-index"] = str(index)
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = str(index)
        made_pod = api.http.post(pods, json=pod)
        # As the Pod Security standard `restricted` wants it, which the namespace enforces.
        assert made_pod.status_code == 201, made_pod.text
    container = template["spec"]["containers"][0]["name"]
    for state in ({"running": {}}, {"terminated": {"exitCode": 0}}):
        if "terminated" in state:
            step.write_model()
        for index in range(2):
            status = {"containerStatuses": [
                {"name": container, "image": "a", "imageID": "a", "ready": False,
                 "restartCount": 0, "state": state}
            ]}  # fmt: skip
            _set_status(api, f"{pods}/{name}-{index}", status)
        if "running" in state:
            _wait(api, started, lambda: "all 2 workers have started" in started.printed)
    done = {
        "type": "Complete" if job == "TrainJob" else "Succeeded",
        "status": "True",
        "reason": "Done",
        "message": "",
        "lastTransitionTime": "2026-11-28T16:00:00Z",
    }
    _set_status(api, f"{jobs}/{name}", {"conditions": [done]})
    assert started.end(60) is None
    assert started.figures == CARD
    assert api.http.get(jobs).json()["items"] == []


def _nothing_is_pruned(step: Launcher, stored: list[dict[str, Any]]) -> None:
    """The server kept every field that the step sent: it drops those that it does not know."""
    from components.workers.plan import make_job

    sent = make_job(step.plan(stored[0]["metadata"]["name"], "runs"))
    for wanted, found in zip([sent.body, *(body for _, body in sent.beside)], stored, strict=True):
        _within(wanted["spec"], found["spec"], wanted["kind"])


def _within(wanted: Any, found: Any, where: str) -> None:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert key in found, f"{where}.{key}"
            _within(value, found[key], f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(wanted) == len(found), where
        for index, value in enumerate(wanted):
            _within(value, found[index], f"{where}[{index}]")
    elif not where.endswith("]") or "args" not in where:
        # The arguments name a workspace that only the step knows.
        assert wanted == found, where


def _wait(api: Api, started: Step, what: Any) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := what():
            return found
        assert started.error is None, started.error
        time.sleep(0.05)
    raise AssertionError(started.printed)


def _applied(api: Api, one: dict[str, Any]) -> None:
    reply = api.apply(one)
    assert reply.status_code in (200, 201), reply.text


def _grant(api: Api, job: str) -> None:
    file = ROOT / f"manifests/workers/{job.lower()}-access.yaml"
    for one in yaml.safe_load_all(file.read_text("utf-8")):
        one["metadata"]["namespace"] = "runs"
        one["metadata"]["name"] += f"-{job.lower()}"
        if one["kind"] == "RoleBinding":
            one["roleRef"]["name"] += f"-{job.lower()}"
        _applied(api, one)


def _define(api: Api, module: str, pattern: str, version: str) -> None:
    command = ["go", "mod", "download", "-json", module]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    folder = Path(json.loads(found.stdout)["Dir"]) / "manifests/base/crds"
    end = time.monotonic() + 60
    for file in folder.glob(pattern):
        definition = yaml.safe_load(file.read_text("utf-8"))
        _applied(api, definition)
        plural = definition["spec"]["names"]["plural"]
        while api.http.get(f"/apis/{version}/namespaces/runs/{plural}").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.2)


def _set_status(api: Api, path: str, status: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    content = json.dumps({"status": status})
    reply = api.http.patch(f"{path}/status", headers=headers, content=content)
    assert reply.status_code == 200, reply.text
