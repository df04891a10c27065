"""A run's arguments keep the cluster's cache honest."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from pipelines.compilation import Package
from pipelines.config import load_config
from pipelines.kubeflow.arguments import of_this_run


def code(package: Package, *overrides: str) -> str:
    config = load_config("text", overrides=overrides)
    return str(of_this_run(package, config, "run-1", "")["code_digest"])


def test_the_content_of_files_that_the_configuration_names_counts_as_code(
    package: Package, tmp_path: Path
) -> None:
    known = tmp_path / "known.jsonl"
    known.write_text("one\n", "utf-8")
    chosen = f"validate.known_outputs=['{known}']"
    first = code(package, chosen)
    assert first == code(package, chosen) != code(package)
    known.write_text("two\n", "utf-8")
    assert code(package, chosen) != first


def test_files_of_the_cluster_are_answered_from_no_cache(package: Package) -> None:
    for chosen in ("validate.known_outputs=['/loomline/known.jsonl']", "validate.suite=/c/s.json"):
        assert code(package, chosen) != code(package, chosen)


def test_a_suite_that_nobody_has_is_a_mistake(package: Package) -> None:
    with pytest.raises(ConfigError, match="txet"):
        code(package, "validate.suite=txet")
