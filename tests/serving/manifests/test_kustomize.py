"""What somebody sets in an overlay of their own, in one place, is set everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIGEST = "sha256:" + "0123456789abcdef" * 4
OVERLAYS = sorted(
    path.parent.name
    for path in Path(__file__).parents[3].glob("manifests/overlays/*/kustomization.yaml")
)


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
