"""What somebody sets in an overlay of their own, in one place, is set everywhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from serving.gateway.metrics import GatewayMetrics

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "0123456789abcdef" * 4
OVERLAYS = sorted(path.parent.name for path in ROOT.glob("manifests/overlays/*/kustomization.yaml"))


def test_the_namespace(overlay: Callable[..., Any]) -> None:
    for base in OVERLAYS:
        rendered = overlay(base, namespace="elsewhere")
        [namespace] = rendered.of("Namespace")
        assert namespace["metadata"]["name"] == "elsewhere"
        # Nor in an address: names of services are looked up in the namespace of who asks.
        assert not re.search(r"namespace: loomline|\bloomline\.svc", rendered.text)


def test_images_by_digest(overlay: Callable[..., Any]) -> None:
    names = ("tensorflow/serving", "loomline/component-python")
    images = [{"name": name, "newName": f"r.example/{name}", "digest": DIGEST} for name in names]
    for base in ("minimal", "cpu", "gpu", "kserve"):
        rendered = overlay(base, images=images)
        found = {pod.container["image"] for pod in rendered.pods()}
        assert found == {f"r.example/{name}@{DIGEST}" for name in names}


def test_settings_reach_the_flags_and_restart_what_reads_them(overlay: Callable[..., Any]) -> None:
    change = {"name": "model-server", "behavior": "merge", "literals": ["VERSION_POLL_SECONDS=300"]}
    before, after = overlay("cpu"), overlay("cpu", configMapGenerator=[change])
    maps = [one.starting("ConfigMap", "model-server") for one in (before, after)]
    assert [one["data"]["VERSION_POLL_SECONDS"] for one in maps] == ["10", "300"]
    # Everything else stays, and the name's digest changes: Kubernetes rolls the pods over.
    assert maps[0]["data"].keys() == maps[1]["data"].keys()
    assert maps[0]["metadata"]["name"] != maps[1]["metadata"]["name"]
    [source] = after.pod("model-server").container["envFrom"]
    assert source["configMapRef"]["name"] == maps[1]["metadata"]["name"]
    assert before.one("Deployment", "gateway") == after.one("Deployment", "gateway")


def test_versions_and_labels_change_without_a_restart(overlay: Callable[..., Any]) -> None:
    change = {
        "name": "models",
        "behavior": "replace",
        "literals": ["models.config=model_config_list {}"],
        "options": {"disableNameSuffixHash": True},
    }
    before, after = overlay("cpu"), overlay("cpu", configMapGenerator=[change])
    assert after.one("ConfigMap", "models")["data"] == {"models.config": "model_config_list {}"}
    assert before.of("Deployment") == after.of("Deployment")
    # A mounted folder follows the change; a file that is mounted alone (subPath) never would.
    assert "subPath" not in after.text


def test_the_database(overlay: Callable[..., Any]) -> None:
    url = "postgresql+psycopg://me@db.example:6432/mine"
    change = {"name": "gateway", "behavior": "merge", "literals": [f"STORE={url}"]}
    rendered = overlay("cpu", "approvals", configMapGenerator=[change])
    for name in ("gateway", "settle"):
        [source] = rendered.pod(name).container["envFrom"]
        assert rendered.one("ConfigMap", source["configMapRef"]["name"])["data"]["STORE"] == url


def test_kserve_runs_the_same_container(overlay: Callable[..., Any]) -> None:
    theirs = overlay("kserve").pod("model-server").container
    ours = overlay("cpu").pod("model-server").container
    for one in (theirs, ours):
        one["name"] = one["env"][0]["valueFrom"]["resourceFieldRef"]["containerName"] = ""
    assert theirs == ours


def test_the_alert_rules_are_those_of_the_one_file() -> None:
    """`python manifests/components/monitoring/generate.py` makes the object anew."""
    folder = ROOT / "manifests/components/monitoring"
    rules = ROOT / "manifests/monitoring/prometheus/rules.yaml"
    rule = yaml.safe_load((folder / "prometheus-rule.yaml").read_text("utf-8"))
    assert rule["spec"] == yaml.safe_load(rules.read_text("utf-8"))


def test_the_dashboards_go_with_them(overlay: Callable[..., Any]) -> None:
    files = {file.name for file in (ROOT / "manifests/monitoring/grafana/dashboards").glob("*")}
    board = overlay("monitoring").one("ConfigMap", "loomline-dashboards")
    assert board["data"].keys() == files
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    # What an object may hold.
    assert sum(map(len, board["data"].values())) < 1_000_000


def test_jobs_have_the_names_that_the_alert_rules_know(overlay: Callable[..., Any]) -> None:
    rendered = overlay("monitoring")
    [rule] = rendered.of("PrometheusRule")
    expressions = [each["expr"] for group in rule["spec"]["groups"] for each in group["rules"]]
    known = set(re.findall(r'job="([^"]+)"', " ".join(map(str, expressions))))
    services = {one["metadata"]["name"]: one for one in rendered.of("Service")}
    found = set()
    for monitor in rendered.of("ServiceMonitor"):
        service = services[monitor["metadata"]["name"]]
        labels = service["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        found.add(labels[monitor["spec"]["jobLabel"]])
    assert found == {"loomline-server", "loomline-gateway"} == known


def test_the_queue_is_a_metric_that_the_gateway_has(overlay: Callable[..., Any]) -> None:
    [metric] = [
        one["external"]["metric"]["name"]
        for scaler in overlay("monitoring").of("HorizontalPodAutoscaler")
        for one in scaler["spec"]["metrics"]
        if one["type"] == "External"
    ]
    assert metric in GatewayMetrics().text().decode()
    rules = yaml.safe_load(
        (ROOT / "manifests/components/queue-scaling/adapter-rules.yaml").read_text("utf-8")
    )
    assert f'"{metric}"' in rules["externalRules"][0]["seriesQuery"]


def test_the_image_of_the_steps_holds_what_the_gateway_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = {
        re.split(r"[\[<>=]", one)[0]
        for one in project["project"]["optional-dependencies"]["gateway"]
    } - {"loomline"}
    text = (ROOT / "Dockerfile.component").read_text("utf-8").replace("${VARIANT}", "cpu")
    installed: set[str] = set()
    for name in re.findall(r"requirements/[\w.-]+[.]txt", text):
        locked = (ROOT / name).read_text("utf-8")
        installed |= set(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", locked, re.MULTILINE))
    assert needed <= installed
