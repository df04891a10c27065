"""Models are run under the TensorFlow versions of model servers, really, and judged by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import ServingCheck, saved_model_digest
from components.errors import ModelError, SetupError
from components.serving_check.check import figures, run
from components.serving_check.environments import ensure

VERSIONS = ["2.19", "2.20"]


@pytest.fixture(scope="module")
def versions() -> list[str]:
    """Those of the environments, made on demand."""
    for version in VERSIONS:
        try:
            ensure(version)
        except SetupError as error:
            pytest.skip(f"no environment for TensorFlow {version}: {error}")
    return VERSIONS


@pytest.mark.slow
def test_a_good_model_is_equal_under_every_version(
    toy: Path, tmp_path: Path, versions: list[str]
) -> None:
    content = run(toy, versions, tmp_path / "check")
    assert ServingCheck(tmp_path / "check").read() == content
    assert content["model_digest"] == saved_model_digest(toy)
    assert list(content["versions"]) == versions
    for version, found in content["versions"].items():
        assert found["tensorflow"].startswith(version)
        assert found["equal"]
        assert {name: verdict["requests"] for name, verdict in found["signatures"].items()} == {
            "answer": 4,
            "serving_default": 4,
        }
    measured = figures(content)
    assert {name: figure.value for name, figure in measured.items()} == {
        "serving.equal": 1.0,
        "serving.tensorflow_2_19": 1.0,
        "serving.tensorflow_2_20": 1.0,
    }
    assert measured["serving.equal"].samples == 16


@pytest.mark.slow
def test_a_model_that_needs_xla_fails(save: Any, tmp_path: Path, versions: list[str]) -> None:
    content = run(save(compiled=True), versions[1:], tmp_path / "check")
    found = content["versions"]["2.20"]
    assert not found["equal"]
    assert found["signatures"]["answer"]["verdict"] == "fails"
    assert "XLA" in found["signatures"]["answer"]["reason"]
    assert figures(content)["serving.equal"].value == 0


@pytest.mark.slow
def test_an_answer_that_is_not_the_same_is_found(
    save: Any, tmp_path: Path, versions: list[str]
) -> None:
    """A doctored model adds noise of its own to each answer."""
    content = run(save(noise=0.1), versions[:1], tmp_path / "check")
    verdict = content["versions"]["2.19"]["signatures"]["answer"]
    assert verdict["verdict"] == "differs"
    assert verdict["reason"].startswith("score is ")
    assert verdict["largest_difference"] > 1e-3


def test_an_unknown_version_is_refused_before_anything_runs(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"versions of: 2.19, 2.20. Received: 3.1"):
        run(toy, ["2.20", "3.1"], tmp_path / "check")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no saved_model"):
        run(tmp_path, VERSIONS, tmp_path / "check")


@pytest.mark.slow
def test_a_model_that_fails_here_too_is_refused(
    save: Any, tmp_path: Path, versions: list[str]
) -> None:
    broken = shutil.copytree(save(), tmp_path / "saved_model")
    shutil.rmtree(broken / "variables")
    with pytest.raises(ModelError, match="expected a readable SavedModel at"):
        run(broken, versions, tmp_path / "check")
