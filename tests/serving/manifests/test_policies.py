"""What the manifests promise of every pod and every name, held against what is rendered.

kube-score looks for what is generally unwise; the rest is what kube-linter's default checks and the
Pod Security Standard `restricted` ask for, and what is particular to these objects.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.image import IMAGE

ROOT = Path(__file__).parents[3]


def test_kube_score_finds_nothing(rendered: Any, tool: Callable[[str], str]) -> None:
    command = [tool("kube-score"), "score", "--output-format=json", "--kubernetes-version=v1.37"]
    for check in ("container-seccomp-profile", "container-ports-check", "pod-probes-identical"):
        command.append(f"--enable-optional-test={check}")
    done = subprocess.run(
        [*command, "-"], input=rendered.text, capture_output=True, text=True, timeout=60
    )
    scored = json.loads(done.stdout)
    findings = [
        (one["object_meta"]["name"], check["check"]["id"], check["comments"])
        for one in scored
        for check in one["checks"]
        if not check["skipped"] and check["grade"] < 10
    ]
    assert findings == []
    assert done.returncode == 0
    assert {one["object_meta"]["name"] for one in scored} >= {"gateway"}


def test_every_exception_from_kube_score_has_its_reason_in_place() -> None:
    for file in (ROOT / "manifests").rglob("*.yaml"):
        lines = file.read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            if "kube-score/ignore:" in line or "kube-score~1ignore" in line:
                above = "".join(lines[max(0, number - 3) : number])
                assert "#" in above, f"{file}: {line}"


def test_pods_keep_to_the_restricted_standard(rendered: Any) -> None:
    pods = list(rendered.pods())
    assert pods
    for pod in pods:
        _restricted(pod)


def test_the_loader_keeps_to_the_restricted_standard(loader: Any) -> None:
    [pod] = loader.pods()
    _restricted(pod)


def _restricted(pod: Any) -> None:
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        assert field not in pod.spec
    assert pod.spec["automountServiceAccountToken"] is False
    security = pod.spec["securityContext"]
    assert "sysctls" not in security
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 10000
    assert security["runAsGroup"] > 10000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for volume in pod.spec["volumes"]:
        kinds = volume.keys() - {"name"}
        allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
        assert kinds <= allowed, volume
        assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"]
    container = pod.container
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for port in container.get("ports", []):
        assert "hostPort" not in port
        assert port["containerPort"] >= 1024


def test_resources_are_set(rendered: Any) -> None:
    for pod in rendered.pods():
        requests = pod.container["resources"]["requests"]
        limits = pod.container["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= requests.keys()
        assert requests.keys() == limits.keys()
        devices = requests.keys() - {"cpu", "memory", "ephemeral-storage"}
        assert all(requests[name] == limits[name] for name in devices)
        if pod.owner["kind"] != "CronJob":
            # Memory that is not reserved is memory that a neighbour's peak takes.
            assert requests["memory"] == limits["memory"]


def test_images_have_a_version(rendered: Any) -> None:
    for pod in rendered.pods():
        image = pod.container["image"]
        assert re.search(r"(:\d[\w.-]*|@sha256:[0-9a-f]{64})$", image), image


def test_the_code_of_one_version_runs_everywhere(rendered: Any) -> None:
    images = {pod.container["image"] for pod in rendered.pods()}
    assert len([image for image in images if "loomline" in image]) == 1


def test_the_image_is_that_of_the_steps() -> None:
    files = (ROOT / "manifests").rglob("*.yaml")
    named = [re.findall(r"image: (loomline/\S+)", file.read_text("utf-8")) for file in files]
    assert {image for each in named for image in each} == {IMAGE}


def test_what_serves_has_probes_and_time_to_end(rendered: Any) -> None:
    for pod in rendered.pods():
        if pod.owner["kind"] in ("CronJob", "Job"):
            continue
        container = pod.container
        ports = {port["name"] for port in container["ports"]}
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[name]["httpGet"]["port"] in ports
            # A port that listens says nothing.
            assert container[name]["httpGet"]["path"] != "/"
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod.spec["terminationGracePeriodSeconds"] > max(pause, 30)


def test_a_server_that_ignores_sigterm_outlives_its_connections(rendered: Any) -> None:
    pod = rendered.pod("model-server")
    [channel] = [one for one in pod.container["args"] if "grpc_channel_arguments" in one]
    found = re.search(r"max_connection_age_ms=(\d+)", channel)
    assert found is not None
    age = int(found[1]) / 1000
    pause = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # gRPC adds up to a tenth; the rest is for requests that began last.
    assert pause >= 1.1 * age + 20
    # What comes after the pause is waiting for SIGKILL.
    assert pause < pod.spec["terminationGracePeriodSeconds"] <= pause + 10


def test_accounts_are_one_for_each_and_get_no_token(rendered: Any) -> None:
    accounts = {one["metadata"]["name"]: one for one in rendered.of("ServiceAccount")}
    used = [pod.spec["serviceAccountName"] for pod in rendered.pods()]
    assert sorted(used) == sorted(accounts)
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())


def test_rights_are_named_one_by_one(rendered: Any) -> None:
    assert rendered.of("ClusterRole", "ClusterRoleBinding") == []
    accounts = {one["metadata"]["name"] for one in rendered.of("ServiceAccount")}
    for role in rendered.of("Role"):
        for rule in role["rules"]:
            for field in ("apiGroups", "resources", "verbs"):
                assert rule[field]
                assert "*" not in rule[field]
            assert "secrets" not in rule["resources"]
    for binding in rendered.of("RoleBinding"):
        assert {one["name"] for one in binding["subjects"]} <= accounts
        assert all(one["kind"] == "ServiceAccount" for one in binding["subjects"])


def test_what_retraining_may_do_at_kubeflow_is_little() -> None:
    file = ROOT / "manifests/components/retraining/kubeflow-access.yaml"
    role, binding = yaml.safe_load_all(file.read_text("utf-8"))
    for rule in role["rules"]:
        assert rule["apiGroups"] == ["pipelines.kubeflow.org"]
        assert set(rule["verbs"]) <= {"create", "get", "list"}
    [subject] = binding["subjects"]
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", "retrain")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    file = ROOT / "manifests/components/monitoring-retrain/kubeflow-access.yaml"
    binding = yaml.safe_load(file.read_text("utf-8"))
    assert [one["name"] for one in binding["subjects"]] == ["monitor"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_what_asks_kubeflow_has_a_token_and_says_where_it_lies(overlay: Any) -> None:
    objects = overlay("monitoring", "monitoring-retrain", "retraining")
    for name in ("monitor", "retrain"):
        pod = objects.pod(name)
        assert "--no-retrain" not in pod.container["args"]
        assert "--namespace=$(LOOMLINE_KFP_NAMESPACE)" in pod.container["args"]
        [volume] = [one for one in pod.spec["volumes"] if "projected" in one]
        [mount] = [one for one in pod.container["volumeMounts"] if one["name"] == volume["name"]]
        [source] = volume["projected"]["sources"]
        path = f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"
        assert f"--token-file={path}" in pod.container["args"]
    plain = overlay("monitoring").pod("monitor")
    assert "--no-retrain" in plain.container["args"]
    assert not any("projected" in one for one in plain.spec["volumes"])


@pytest.mark.parametrize(
    ("job", "group", "made"),
    [
        ("trainjob", "trainer.kubeflow.org", {"trainjobs", "trainingruntimes"}),
        ("tfjob", "kubeflow.org", {"tfjobs"}),
    ],
)
def test_what_a_step_may_do_that_starts_workers_is_little(
    job: str, group: str, made: set[str], conform: Callable[[str, str], dict[str, Any]]
) -> None:
    text = (ROOT / f"manifests/workers/{job}-access.yaml").read_text("utf-8")
    role, binding = yaml.safe_load_all(text)
    assert (role["kind"], binding["kind"]) == ("Role", "RoleBinding")
    given = {
        (*rule["apiGroups"], name): set(rule["verbs"])
        for rule in role["rules"]
        for name in rule["resources"]
    }
    # It makes jobs, and of everything else it reads only: nothing may be changed or run into.
    assert {name for (of, name), verbs in given.items() if "create" in verbs} == made
    assert {of for (of, name) in given if name in made} == {group}
    for (of, name), verbs in given.items():
        assert verbs <= {"get", "list", "watch"} | ({"create", "delete"} if name in made else set())
        assert of == group or name in ("pods", "pods/log", "events")
    [subject] = binding["subjects"]
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", "pipeline-runner")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert conform("v1.37.2", text)["summary"]["valid"] == 2


def test_a_token_is_for_one_audience_and_short(rendered: Any) -> None:
    for pod in rendered.pods():
        for volume in pod.spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                token = source["serviceAccountToken"]
                assert token["audience"] == "pipelines.kubeflow.org"
                assert token["expirationSeconds"] <= 3600


def test_object_stores_are_asked_seldom(rendered: Any) -> None:
    settings = rendered.starting("ConfigMap", "model-server")["data"]
    remote = "://" in rendered.one("ConfigMap", "models")["data"]["models.config"]
    remote = remote or bool(rendered.of("PersistentVolume"))
    assert int(settings["VERSION_POLL_SECONDS"]) >= (60 if remote else 5)


def test_no_secret_stands_in_the_tree() -> None:
    for file in (ROOT / "manifests").rglob("*"):
        if not file.is_file():
            continue
        text = file.read_text("utf-8")
        # A key, a URL with a password, or Base64 of some length.
        assert not re.search(r"-----BEGIN|://[^/\s:@]+:[^/\s@]+@|\b[A-Za-z0-9+]{40,}={0,2}", text)
        if file.suffix == ".yaml":
            for one in yaml.safe_load_all(text):
                assert not (isinstance(one, dict) and one.get("kind") == "Secret")
