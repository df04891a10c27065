"""Kubernetes' own API server takes the manifests, with its validation and Pod Security admission.

`make test-apiserver` builds it; where it is not there, these are skipped. No kubelet and no
controller runs: what the server is told, it checks and stores.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[3]
# As in make_schemas.py.
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CLUSTER_WIDE = {"Namespace", "PersistentVolume", "CustomResourceDefinition"}
# Of a step of a run, which may do nothing unless a role says so.
STEP_TOKEN = "token-of-the-step"
# No definition of this kind could be had; its schema is checked in test_schemas.py.
UNKNOWN = {"InferenceService"}


class Api:
    """The API server, as an administrator sees it; its certificate lies in the folder."""

    def __init__(self, http: httpx.Client, folder: Path) -> None:
        self.http, self.folder = http, folder
        self._plurals: dict[tuple[str, str], str] = {}

    def apply(self, one: dict[str, Any], **query: str) -> httpx.Response:
        """Server-side apply, which refuses fields that it does not know."""
        path = f"{self._path(one)}/{one['metadata']['name']}"
        query = {"fieldManager": "tests", "fieldValidation": "Strict", "force": "true", **query}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return self.http.patch(path, params=query, headers=headers, content=json.dumps(one))

    def create(self, one: dict[str, Any], **query: str) -> httpx.Response:
        return self.http.post(self._path(one), params=query, json=one)

    def _path(self, one: dict[str, Any]) -> str:
        version, kind = one["apiVersion"], one["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._plurals:
            listed = self.http.get(root).json()["resources"]
            self._plurals |= {
                (version, each["kind"]): each["name"] for each in listed if "/" not in each["name"]
            }
        plural = self._plurals[version, kind]
        if kind in CLUSTER_WIDE:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{one['metadata']['namespace']}/{plural}"


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


@pytest.fixture(scope="module")
def api(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server of its own, with what its admission plugins do by default."""
    programs = [tool("etcd"), tool("kube-apiserver")]
    folder = tmp_path_factory.mktemp("apiserver")
    client, peer = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    port = _free_port()
    subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=folder, check=True,
                   capture_output=True)  # fmt: skip
    (folder / "tokens.csv").write_text(
        'secret,admin,admin,"system:masters"\n'
        f'{STEP_TOKEN},system:serviceaccount:runs:pipeline-runner,step,"system:serviceaccounts"\n'
    )
    commands = (
        [
            programs[0], "--data-dir=etcd", f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ],
        [
            programs[1], f"--etcd-servers={client}", "--bind-address=127.0.0.1",
            f"--secure-port={port}", "--cert-dir=certificates", "--authorization-mode=RBAC",
            "--token-auth-file=tokens.csv", "--service-account-issuer=https://tests.invalid",
            "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
        ],
    )  # fmt: skip
    processes = []
    with (folder / "log").open("w") as log:
        for command in commands:
            processes.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
    try:
        address = f"https://127.0.0.1:{port}"
        headers = {"Authorization": "Bearer secret"}
        with httpx.Client(base_url=address, headers=headers, verify=False, timeout=60) as http:
            _wait(http, folder / "log")
            yield Api(http, folder)
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _wait(http: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text("utf-8")[-3000:])


@pytest.fixture(scope="module")
def operator(api: Api) -> None:
    """The Prometheus operator's kinds."""
    command = ["go", "mod", "download", "-json", OPERATOR]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    folder = Path(json.loads(found.stdout)["Dir"]) / "jsonnet/prometheus-operator"
    for name in ("servicemonitors", "prometheusrules"):
        reply = api.apply(json.loads((folder / f"{name}-crd.json").read_text("utf-8")))
        assert reply.status_code in (200, 201), reply.text
    deadline = time.monotonic() + 60
    while api.http.get("/apis/monitoring.coreos.com/v1").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_it_takes_every_object_without_a_warning(
    case: str, api: Api, operator: None, rendered: Any
) -> None:
    # As the objects of one case may not be changed into those of another: a namespace for each.
    name = f"case-{case.replace('+', '-')}"
    text = rendered.text.replace("namespace: loomline", f"namespace: {name}")
    objects = [one for one in yaml.safe_load_all(text) if one["kind"] not in UNKNOWN]
    for one in sorted(objects, key=lambda one: one["kind"] != "Namespace"):
        if one["kind"] == "Namespace":
            one["metadata"]["name"] = name
        reply = api.apply(one)
        assert reply.status_code in (200, 201), reply.text
        # Of unwise fields, of versions that go, and of pods that admission would refuse.
        assert "Warning" not in reply.headers, reply.headers["Warning"]
    for pod in rendered.pods():
        reply = api.create(_pod(pod, name), dryRun="All")
        assert reply.status_code == 201, reply.text


def _pod(pod: Any, namespace: str) -> dict[str, Any]:
    """What a controller would make of a template."""
    fields = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "labels")
    spec = {name: value for name, value in pod.spec.items() if name not in fields}
    metadata = {"generateName": "pod-", "namespace": namespace, "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"securityContext": {"runAsNonRoot": False}}, 403, "violates PodSecurity"),
        ({"hostNetwork": True}, 403, "violates PodSecurity"),
        ({"restartPolicy": "Sometimes"}, 422, "Unsupported value"),
        ({"terminationGracePeriodSeconds": 1}, 422, "terminationGracePeriodSeconds"),
        ({"serviceAccountName": "nobody"}, 403, "not found"),
    ],
)
def test_it_refuses_what_is_wrong(
    change: dict[str, Any],
    status: int,
    told: str,
    api: Api,
    overlay: Callable[..., Any],
) -> None:
    rendered = overlay("cpu", namespace="wrong")
    for kind in ("Namespace", "ServiceAccount"):
        for one in rendered.of(kind):
            assert api.apply(one).status_code in (200, 201)
    made = _pod(rendered.pod("model-server"), "wrong")
    made["spec"] |= change
    reply = api.create(made, dryRun="All")
    assert reply.status_code == status, reply.text
    assert told in reply.text
