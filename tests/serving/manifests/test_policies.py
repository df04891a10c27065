"""What the manifests promise of every pod and every name, held against what is rendered.

kube-score looks for what is generally unwise; the rest is what kube-linter's default checks and the
Pod Security Standard `restricted` ask for, and what is particular to these objects.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.image import IMAGE

ROOT = Path(__file__).parents[3]
# What must be there before these manifests are applied; the how-to names each.
SECRETS = {
    "loomline-database": {"password", "ca.crt"},
    "loomline-reviewer": {"key"},
    "loomline-notify": {"webhook"},
    "gateway-tls": set(),
}
CLAIMS = {"models", "monitoring"}


def _labels_match(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert selector.keys() == {"matchLabels"}
    return selector["matchLabels"].items() <= labels.items()


def _selector(one: dict[str, Any]) -> dict[str, Any]:
    return {"matchLabels": one["spec"]["selector"]}


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


def test_what_is_referred_to_exists(rendered: Any) -> None:
    named = {
        kind: {one["metadata"]["name"]: one for one in rendered.of(kind)}
        for kind in ("ConfigMap", "ServiceAccount", "PersistentVolumeClaim", "PersistentVolume")
    }
    for pod in rendered.pods():
        assert pod.spec["serviceAccountName"] in named["ServiceAccount"]
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounts = {mount["name"] for mount in pod.container["volumeMounts"]}
        assert mounts == volumes.keys()
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in named["ConfigMap"]
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert claim in CLAIMS or claim in named["PersistentVolumeClaim"]
        for source in pod.container.get("envFrom", []):
            assert source["configMapRef"]["name"] in named["ConfigMap"]
        for name, key in _secrets(pod):
            assert key in SECRETS[name]
        for variable in _variables(pod):
            assert variable in _environment(pod, named["ConfigMap"]), variable
        for one in pod.container.get("env", []):
            source = one.get("valueFrom", {}).get("configMapKeyRef")
            if source:
                assert source["key"] in named["ConfigMap"][source["name"]]["data"]
    for claim in named["PersistentVolumeClaim"].values():
        volume = claim["spec"].get("volumeName")
        assert volume is None or volume in named["PersistentVolume"]


def _secrets(pod: Any) -> Iterator[tuple[str, str]]:
    for volume in pod.spec["volumes"]:
        if "secret" in volume:
            # Never the whole of it: the keys that are needed.
            for item in volume["secret"]["items"]:
                yield volume["secret"]["secretName"], item["key"]
    for variable in pod.container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference:
            yield reference["name"], reference["key"]


def _variables(pod: Any) -> list[str]:
    return re.findall(r"\$\((\w+)\)", " ".join(pod.container.get("args", [])))


def _environment(pod: Any, maps: dict[str, Any]) -> set[str]:
    found = {one["name"] for one in pod.container.get("env", [])}
    for source in pod.container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]["data"].keys()
    return found


def test_nothing_in_a_config_map_is_without_use(rendered: Any) -> None:
    used: dict[str, set[str]] = {}
    for pod in rendered.pods():
        for source in pod.container.get("envFrom", []):
            used.setdefault(source["configMapRef"]["name"], set()).update(_variables(pod))
    assert used
    for name, variables in used.items():
        assert rendered.one("ConfigMap", name)["data"].keys() <= variables


def test_files_that_flags_name_are_mounted(rendered: Any) -> None:
    for pod in rendered.pods():
        folders = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
        for flag in pod.container.get("args", []):
            path = flag.partition("=")[2] if flag.startswith("-") else flag
            if path.startswith("/"):
                assert any(path == one or path.startswith(f"{one}/") for one in folders), flag


def test_selectors_find_their_pods(rendered: Any) -> None:
    pods = list(rendered.pods())
    for service in rendered.of("Service"):
        found = [one for one in pods if _labels_match(_selector(service), one.labels)]
        assert len(found) == 1
        ports = {port["name"] for port in found[0].container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in rendered.of("PodDisruptionBudget"):
        found = [one for one in pods if _labels_match(budget["spec"]["selector"], one.labels)]
        assert len(found) == 1
    for deployment in rendered.of("Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert _labels_match(deployment["spec"]["selector"], labels)
        for rule in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert _labels_match(rule["labelSelector"], labels)


def test_what_is_scaled_has_no_replicas_and_may_be_disrupted_one_by_one(rendered: Any) -> None:
    deployments = {one["metadata"]["name"]: one for one in rendered.of("Deployment")}
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one for one in rendered.of("HorizontalPodAutoscaler")
    }
    assert scaled.keys() <= deployments.keys()
    for name, deployment in deployments.items():
        # Either decides, never both.
        assert ("replicas" in deployment["spec"]) == (name not in scaled)
    budgets = {one["metadata"]["name"] for one in rendered.of("PodDisruptionBudget")}
    assert scaled.keys() <= budgets
    for scaler in scaled.values():
        # One may go away and another still answers.
        assert scaler["spec"]["minReplicas"] >= 2
        assert scaler["spec"]["maxReplicas"] > scaler["spec"]["minReplicas"]
        assert scaler["spec"]["metrics"]


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


def test_a_token_is_for_one_audience_and_short(rendered: Any) -> None:
    for pod in rendered.pods():
        for volume in pod.spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                token = source["serviceAccountToken"]
                assert token["audience"] == "pipelines.kubeflow.org"
                assert token["expirationSeconds"] <= 3600


def test_labels_say_what_belongs_together(rendered: Any) -> None:
    for one in rendered.objects:
        labels = one["metadata"].get("labels", {})
        assert labels["app.kubernetes.io/part-of"] == "loomline", one["metadata"]["name"]
    for pod in rendered.pods():
        # By this the policies and services find it.
        assert pod.labels["app.kubernetes.io/name"] in pod.owner["metadata"]["name"] or (
            pod.owner["kind"] == "InferenceService"
        )


def test_everything_lies_in_one_namespace(rendered: Any) -> None:
    everywhere = {"Namespace", "PersistentVolume"}
    [namespace] = rendered.of("Namespace")
    name = namespace["metadata"]["name"]
    for one in rendered.objects:
        if one["kind"] not in everywhere:
            assert one["metadata"]["namespace"] == name, one["metadata"]["name"]
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_models_have_the_same_name_everywhere(rendered: Any) -> None:
    text = rendered.one("ConfigMap", "models")["data"]["models.config"]
    served = re.findall(r'\bname: "([^"]+)"', text)
    labels = set(re.findall(r'version_labels \{ key: "([^"]+)"', text))
    asked = rendered.starting("ConfigMap", "gateway")["data"]["MODELS"].split(",")
    assert set(asked) <= set(served)
    wanted = {
        flag.partition("=")[2]
        for flag in rendered.pod("gateway").container["args"]
        if flag.startswith("--default-label")
    }
    assert wanted <= labels
    container = rendered.pod("model-server").container
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        parts = container[name]["httpGet"]["path"].split("/")
        assert parts[:3] == ["", "v1", "models"]
        assert parts[3] in served
        assert parts[-1] == "metadata"
        if "labels" in parts:
            assert parts[5] in labels
    # Ready means that what the gateway asks for can be answered.
    ready = container["readinessProbe"]["httpGet"]["path"].split("/")
    assert set(ready[5:6]) == wanted or not wanted


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


@pytest.mark.parametrize("name", [*SECRETS, *CLAIMS])
def test_what_must_be_there_is_documented(name: str) -> None:
    page = (ROOT / "docs/how-to/deploy-on-kubernetes.md").read_text("utf-8")
    assert f"`{name}`" in page
