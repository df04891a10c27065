"""A client of the fake cluster, and a pipeline that is compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from gitlab_project import project  # noqa: F401

from pipelines.cli import main
from pipelines.compilation import Package, compile_config
from pipelines.config import load_config
from pipelines.kubeflow import Connection
from pipelines.kubeflow.api import Api


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


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
