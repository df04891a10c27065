"""A fake cluster, and a pipeline that is small enough to be uploaded often."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from pipelines.compilation import Package, compile_config
from pipelines.config import load_config
from pipelines.kubeflow import Connection
from pipelines.kubeflow.api import Api

sys.path.append(str(Path(__file__).parent))

from fake_kubeflow import FakeKubeflow


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def kubeflow() -> Iterator[FakeKubeflow]:
    """The fake; what it was asked must have been right, unless a test clears `wrong`."""
    fake = FakeKubeflow()
    yield fake
    assert fake.wrong == []


@pytest.fixture
def host(kubeflow: FakeKubeflow) -> Iterator[str]:
    """Its URL."""
    with kubeflow.served() as url:
        yield url


@pytest.fixture
def api(host: str) -> Iterator[Api]:
    """A client that does not wait long between its attempts."""
    with Api(Connection(host), first_wait=0.01) as client:
        yield client


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The text pipeline, compiled."""
    path = tmp_path_factory.mktemp("package") / "text.yaml"
    return compile_config(load_config("text"), path)


@pytest.fixture
def loomline(host: str, package: Package, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `loomline submit text` on the compiled pipeline, against the fake."""
    monkeypatch.setattr("pipelines.kubeflow.api.FIRST_WAIT", 0.01)

    def run(*arguments: str, **environment: Any) -> Result:
        given = ["submit", "text", f"--host={host}", f"--package={package.path}", "--poll=0.02"]
        return CliRunner().invoke(main, [*given, *arguments], env=environment)

    return run
