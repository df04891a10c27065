"""The rules of the house: which way imports point, and what stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "tensorflow",
    "keras",
    "apache_beam",
    "tensorflow_transform",
    "great_expectations",
    "evidently",
)
MODULES = sorted(
    path
    for package in ("components", "pipelines", "serving")
    for path in (ROOT / package).rglob("*.py")
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    forbidden = {
        "components": ("pipelines", "serving"),
        "serving": ("components", "pipelines"),
        "pipelines": (),
    }[package]
    wrong = [name for name in imported_by(path) if name.split(".")[0] in forbidden]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


def test_only_interfaces_and_pipelines_know_kfp() -> None:
    knowing = {
        name_of(path)
        for path in MODULES
        if any(name.split(".")[0] == "kfp" for name in imported_by(path))
    }
    for name in knowing:
        assert name.startswith("pipelines.") or name.endswith(".component"), name


LIGHT = [
    "pipelines.cli",
    "pipelines.config",
    "pipelines.compilation",
    "pipelines.hardware.placing",
    "pipelines.kubeflow.submission",
    "pipelines.kubeflow.watching",
    "pipelines.local",
    "pipelines.present",
    "pipelines.registry",
    "pipelines.training",
    "serving.client",
    *(name_of(path) for path in MODULES if path.name in ("component.py", "options.py")),
    *(
        f"components.{step}.{step}"
        for step in ("ingest", "validate", "transform", "train", "evaluate", "drift", "gate")
    ),
    "components.push.push",
    "components.summarize.summarize",
]


def test_what_should_be_light_imports_nothing_heavy() -> None:
    script = (
        "import importlib, sys\n"
        f"for name in {LIGHT!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [item for item in {HEAVY!r} if item in sys.modules]\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
