"""Another pipeline is one line: it is compiled and submitted as the training pipeline is."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from kfp import dsl

from pipelines import registry
from pipelines.cli import main
from pipelines.compilation import read_package
from pipelines.registry import Definition, Use


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def look(config: str, profile: str) -> None:
    """Looks."""


@dsl.pipeline(name="watching")
def watching(config: str, profile: str) -> None:
    """Watches."""
    look(config=config, profile=profile)


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> list[Use]:
    seen: list[Use] = []

    def define(use: Use) -> Definition:
        seen.append(use)
        return Definition(watching, {"config": use.name, "profile": use.profile})

    monkeypatch.setattr(registry, "PIPELINES", {**registry.PIPELINES, "watching": define})
    return seen


def test_it_is_compiled_by_its_name_and_by_all(uses: list[Use], tmp_path: Path) -> None:
    target = tmp_path / "watching.yaml"
    given = ["--pipeline=watching", "--profile=full", "--set=train.layers=3", f"--to={target}"]
    result = CliRunner().invoke(main, ["compile", "text", *given])
    assert result.exit_code == 0, result.output
    package = read_package(target)
    assert package.name == "watching"
    assert package.parameters["profile"]["defaultValue"] == "full"
    assert uses[0].overrides == ("train.layers=3",)
    assert uses[0].config.parameters()["train_layers"] == 3

    result = CliRunner().invoke(main, ["compile", "--all", f"--to={tmp_path}"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "watching-image-quick-cpu.yaml").is_file()
    assert (tmp_path / "training-image-quick-cpu.yaml").is_file()
