"""Manifests as kustomize renders them: every overlay, and every component upon one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
# What is rendered: an overlay, and the components that are put upon it.
CASES: dict[str, tuple[str, ...]] = {
    **{path.parent.name: () for path in sorted(MANIFESTS.glob("overlays/*/kustomization.yaml"))},
    "cpu+approvals": ("approvals",),
    "cpu+batching": ("batching",),
    "cpu+follow-latest": ("follow-latest",),
    "cpu+ingress": ("ingress",),
    "cpu+models-gcs": ("models-gcs",),
    "cpu+models-s3": ("models-s3",),
    "cpu+retraining": ("retraining",),
    "monitoring+all": ("approvals", "batching", "ingress", "monitoring-retrain", "retraining"),
}

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod that an object makes: what makes it, its labels and its specification."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def container(self) -> Object:
        [container] = self.spec["containers"]
        assert isinstance(container, dict)
        return container


class Rendered:
    """The objects of a rendering, and questions about them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = list(yaml.safe_load_all(text))

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        [found] = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    def starting(self, kind: str, name: str) -> Object:
        """One whose name may end in a digest."""
        names = [one["metadata"]["name"] for one in self.of(kind)]
        [found] = [one for one in names if one == name or one.rpartition("-")[0] == name]
        return self.one(kind, found)

    def pods(self) -> Iterator[Pod]:
        for owner in self.objects:
            spec = owner.get("spec", {})
            if owner["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            if owner["kind"] in ("Deployment", "Job", "CronJob"):
                yield Pod(owner, spec["template"]["metadata"]["labels"], spec["template"]["spec"])
            elif owner["kind"] == "InferenceService":
                yield Pod(owner, spec["predictor"]["labels"], spec["predictor"])
            elif owner["kind"] == "Pod":
                yield Pod(owner, owner["metadata"]["labels"], spec)

    def pod(self, name: str) -> Pod:
        [found] = [one for one in self.pods() if one.labels.get("app.kubernetes.io/name") == name]
        return found


def pytest_addoption(parser: pytest.Parser) -> None:
    """It exists where this folder is named on the command line."""
    text = "a folder to check instead of this repository's overlays; may be given more than once"
    parser.getgroup("manifests").addoption("--overlay", action="append", default=[], help=text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        given = metafunc.config.getoption("--overlay", None)
        metafunc.parametrize("case", given or list(CASES), scope="session")


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """The path of a program of `make test-tools`."""

    def tool(name: str) -> str:
        path = ROOT / ".tools" / name
        if not path.is_file():
            pytest.skip(f"{name} is missing: make test-tools")
        return str(path)

    return tool


@pytest.fixture(scope="session")
def conform(tool: Callable[[str], str]) -> Callable[[str, str], dict[str, Any]]:
    """What kubeconform says of YAML, for a version of Kubernetes, in strict mode and offline."""

    def conform(version: str, text: str) -> dict[str, Any]:
        folder = ROOT / ".tools/schemas"
        if not (folder / version).is_dir() or not (folder / "crds").is_dir():
            pytest.skip("Kubernetes' schemas are missing: make test-tools")
        command = [tool("kubeconform"), "-strict", "-output=json", "-summary", "-verbose"]
        for part in (version, "crds"):
            command += [
                "-schema-location",
                f"{folder / part}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            ]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return dict(json.loads(done.stdout))

    return conform


@pytest.fixture(scope="session")
def build(tool: Callable[[str], str]) -> Callable[[Path], str]:
    """What kustomize makes of a folder."""

    def build(folder: Path) -> str:
        command = [tool("kustomize"), "build", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        # A warning is about what a later version refuses.
        assert done.stderr == ""
        return done.stdout

    return build


@pytest.fixture(scope="session")
def overlay(
    build: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Rendered]:
    """Renders an overlay of somebody who forks: upon one of ours, with more in its file."""

    def overlay(base: str, *components: str, **more: Any) -> Rendered:
        folder = tmp_path_factory.mktemp("overlay").resolve()

        def to(path: Path) -> str:
            return os.path.relpath(path.resolve(), folder)

        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "loomline",
            "labels": [
                {"pairs": {"app.kubernetes.io/part-of": "loomline"}, "includeTemplates": True}
            ],
            "resources": [to(MANIFESTS / "overlays" / base)],
            "components": [to(MANIFESTS / "components" / name) for name in components],
            **more,
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content), "utf-8")
        return Rendered(build(folder))

    return overlay


@pytest.fixture(scope="session")
def rendered(case: str, overlay: Callable[..., Rendered], build: Callable[[Path], str]) -> Rendered:
    """One case; the same for all tests."""
    if case not in CASES:
        return Rendered(build(Path(case)))
    return overlay(case.partition("+")[0], *CASES[case])


@pytest.fixture(scope="session")
def loader() -> Rendered:
    """The pod that no overlay holds."""
    return Rendered((MANIFESTS / "overlays/minimal/loader.yaml").read_text("utf-8"))
