"""The jobs are what the published definitions of their kinds take, and say all that they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from components.train.cluster_config import node_hosts
from components.workers.options import Workers
from components.workers.plan import Job, Plan, make_job

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / ".tools/schemas/crds"
GPU = {
    "image": "registry/loomline@sha256:0", "cpu": "8", "memory": "32Gi", "count": 3,
    "accelerator_type": "nvidia.com/gpu", "accelerator_count": 2, "shared_memory": "8Gi",
    "scratch": "100Gi", "node_selector": {"pool": "gpu"}, "claim": "loomline",
    "mount": "/loomline", "deadline_minutes": 60,
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}  # fmt: skip
OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "text-x7k", "uid": "u"}


def plan(job: str, **changed: Any) -> Plan:
    workers = Workers.model_validate({**GPU, "job": job, **changed})
    arguments = ("--options={}", "--model=/loomline/workers/a/model")
    return Plan("loomline-train-0123456789ab", "runs", workers, arguments, OWNER)


@pytest.fixture(params=["TrainJob", "TFJob"])
def job(request: pytest.FixtureRequest) -> Job:
    return make_job(plan(str(request.param)))


def objects(job: Job) -> list[dict[str, Any]]:
    return [job.body, *(body for _, body in job.beside)]


def pod(job: Job) -> dict[str, Any]:
    found: dict[str, Any]
    if job.body["kind"] == "TFJob":
        found = job.body["spec"]["tfReplicaSpecs"]["Worker"]["template"]
    else:
        [(_, runtime)] = job.beside
        [replicated] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        found = replicated["template"]["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def check() -> Callable[[dict[str, Any]], None]:
    """Holds an object against the schema of its kind, in which unknown fields are mistakes."""

    def check(one: dict[str, Any]) -> None:
        group, version = one["apiVersion"].split("/")
        path = SCHEMAS / f"{one['kind'].lower()}-{group.split('.')[0]}-{version}.json"
        if not path.is_file():
            pytest.skip(f"{path.name} is missing: make test-tools")
        schema = json.loads(path.read_text("utf-8"))
        jsonschema.Draft202012Validator(schema).validate(one)

    return check


def test_every_object_is_valid(job: Job, check: Callable[[dict[str, Any]], None]) -> None:
    for one in objects(job):
        check(one)


@pytest.mark.parametrize(
    ("job_kind", "path"),
    [
        ("TrainJob", ("spec", "trainer", "resources")),
        ("TrainJob", ("spec", "podSpecOverride")),
        ("TFJob", ("spec", "runPolicy", "cleanPodPolicies")),
        ("TFJob", ("spec", "tfReplicaSpecs", "Worker", "template", "spec", "restart")),
    ],
)
def test_a_field_of_another_name_is_found(
    job_kind: str, path: tuple[str, ...], check: Callable[[dict[str, Any]], None]
) -> None:
    body = make_job(plan(job_kind)).body
    within = body
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = {}
    with pytest.raises(jsonschema.ValidationError, match=path[-1]):
        check(body)


def test_labels_of_the_pods_are_not_pruned(job: Job) -> None:
    """Of metadata inside an object an API server keeps what the definition names, nothing else."""
    kind, group = (
        ("tfjob", "kubeflow") if job.body["kind"] == "TFJob" else ("trainingruntime", "trainer")
    )
    path = SCHEMAS / f"{kind}-{group}-{'v1' if kind == 'tfjob' else 'v1alpha1'}.json"
    if not path.is_file():
        pytest.skip(f"{path.name} is missing: make test-tools")
    schema = json.loads(path.read_text("utf-8"))["properties"]["spec"]["properties"]
    if kind == "tfjob":
        template = schema["tfReplicaSpecs"]["additionalProperties"]["properties"]["template"]
        kept = [template["properties"]["metadata"]]
    else:
        replicated = schema["template"]["properties"]["spec"]["properties"]["replicatedJobs"]
        of_the_job = replicated["items"]["properties"]["template"]["properties"]
        of_the_pod = of_the_job["spec"]["properties"]["template"]["properties"]
        kept = [of_the_job["metadata"], of_the_pod["metadata"]]
    for metadata in kept:
        assert {"labels", "annotations"} <= set(metadata.get("properties", {}))


def test_each_worker_gets_what_the_profile_says(job: Job) -> None:
    spec = pod(job)["spec"]
    [container] = spec["containers"]
    assert container["image"] == GPU["image"]
    assert container["command"] == ["python", "-m", "components.train.worker"]
    wanted = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}
    assert container["resources"] == {"requests": wanted, "limits": wanted}
    assert spec["nodeSelector"] == GPU["node_selector"]
    assert spec["tolerations"] == GPU["tolerations"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    mounts = {one["mountPath"]: volumes[one["name"]] for one in container["volumeMounts"]}
    assert mounts["/loomline"]["persistentVolumeClaim"] == {"claimName": "loomline"}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert mounts["/tmp"]["emptyDir"] == {"sizeLimit": "100Gi"}


def test_a_worker_has_no_rights_and_starts_once(job: Job) -> None:
    spec = pod(job)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(job)["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_a_trainjob_lists_the_workers_by_the_names_that_a_jobset_gives_them() -> None:
    job = make_job(plan("TrainJob"))
    name = "loomline-train-0123456789ab"
    hosts = node_hosts(name, "node", 3, 2222)
    assert hosts[2] == f"{name}-node-0-2.{name}:2222"
    assert job.body["spec"]["trainer"]["args"][-1] == f"--workers={','.join(hosts)}"
    [(_, runtime)] = job.beside
    jobset = runtime["spec"]["template"]["spec"]
    # What these names are made of: one replicated job, and no subdomain of its own.
    assert [(one["name"], one["replicas"]) for one in jobset["replicatedJobs"]] == [("node", 1)]
    assert jobset["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}
    assert jobset["replicatedJobs"][0]["template"]["spec"]["completionMode"] == "Indexed"
    # As a host's name, and with a pod's suffix as a pod's.
    assert len(hosts[2].partition(".")[0]) <= 63


def test_a_trainjob_refers_to_the_runtime_beside_it() -> None:
    job = make_job(plan("TrainJob"))
    [(resource, runtime)] = job.beside
    reference = job.body["spec"]["runtimeRef"]
    assert reference == {
        "apiGroup": resource.group, "kind": runtime["kind"], "name": runtime["metadata"]["name"]
    }  # fmt: skip
    [replicated] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    labels = replicated["template"]["metadata"]["labels"]
    assert labels == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}


def test_a_tfjob_has_the_port_of_which_its_operator_makes_tf_config() -> None:
    job = make_job(plan("TFJob"))
    [container] = pod(job)["spec"]["containers"]
    assert container["name"] == "tensorflow"
    assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    assert not any("--workers" in argument for argument in container["args"])
    assert job.body["spec"]["successPolicy"] == "AllWorkers"


def test_a_job_ends_by_itself_and_is_cleared_away(job: Job) -> None:
    text = json.dumps(objects(job))
    assert '"activeDeadlineSeconds": 3600' in text
    assert '"ttlSecondsAfterFinished": 3600' in text
    assert all(one["metadata"]["ownerReferences"] == [OWNER] for one in objects(job))


def test_a_job_is_known_again_by_what_it_computes_and_not_by_who_owns_it() -> None:
    one = plan("TrainJob")
    same = Plan(one.name, one.namespace, one.workers, one.arguments, None)
    assert one.digest == same.digest
    assert one.digest != plan("TrainJob", memory="64Gi").digest
    assert one.digest != Plan(one.name, one.namespace, one.workers, ("--options=1",)).digest
