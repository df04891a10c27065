"""What the manifests refer to is there: names, labels, files, variables, in every rendering."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("name", sorted({*SECRETS, *CLAIMS}))
def test_what_must_be_there_is_documented(name: str) -> None:
    page = (ROOT / "docs/how-to/deploy-on-kubernetes.md").read_text("utf-8")
    assert f"`{name}`" in page
