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
    if package == "components":
        # One implementation of publishing and transfers, for what publishes and what serves.
        wrong = [name for name in wrong if not _within(name, "serving.storage")]
    assert not wrong


def test_storage_stands_alone_and_is_light() -> None:
    """It may be imported by the steps, because it brings nothing of serving and nothing heavy."""
    for path in (ROOT / "serving" / "storage").rglob("*.py"):
        ours = {"components", "pipelines", "serving"}
        for name in imported_by(path):
            assert name.split(".")[0] not in ours or _within(name, "serving.storage"), path
    script = (
        "import sys, serving.storage, serving.storage.gcs, serving.storage.s3\n"
        "allowed = {'serving'} | set(sys.stdlib_module_names)\n"
        "before = set(sys.argv[1].split(','))\n"
        "brought = {name.split('.')[0] for name in sys.modules} - before - allowed\n"
        "assert not brought, brought\n"
    )
    # What every process here has, such as the hooks of an editable install.
    bare = "import sys; print(','.join({name.split('.')[0] for name in sys.modules}))"
    before = subprocess.run(
        [sys.executable, "-c", bare], cwd=ROOT, capture_output=True, text=True, check=True
    )
    command = [sys.executable, "-c", script, before.stdout.strip()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


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
