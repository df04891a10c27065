"""The evaluation says whether the export answers alike under the versions of model servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.artifacts import Evaluation, Model, ServingCheck
from components.errors import SetupError
from components.evaluate.evaluate import run
from components.evaluate.options import EvaluateOptions
from components.serving_check.environments import ensure


@pytest.mark.slow
def test_the_versions_that_were_asked_for_are_run(
    examples: Path, model: Path, tmp_path: Path
) -> None:
    try:
        ensure("2.20")
    except SetupError as error:
        pytest.skip(f"no environment for TensorFlow 2.20: {error}")
    options = EvaluateOptions(samples=8, sample_tokens=8, bootstrap=100, serving_versions=["2.20"])
    figures = run(examples, model, options, None, tmp_path)
    assert figures["serving.equal"].value == figures["serving.tensorflow_2_20"].value == 1.0
    assert "serving.tensorflow_2_19" not in figures
    content = ServingCheck(tmp_path).read()
    assert content["model_digest"] == Model(model).digest()
    assert set(content["versions"]["2.20"]["signatures"]) == {
        "generate",
        "score",
        "serving_default",
        "tokenize",
    }
    assert Evaluation(tmp_path).figures()["serving.equal"] == figures["serving.equal"]


def test_without_versions_nothing_is_claimed(examples: Path, model: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(samples=8, sample_tokens=8, bootstrap=100)
    figures = run(examples, model, options, None, tmp_path)
    assert not [name for name in figures if name.startswith("serving.")]
    assert not ServingCheck(tmp_path).json_path.exists()


def test_a_version_without_a_lock_is_refused(examples: Path, model: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(samples=8, sample_tokens=8, bootstrap=100, serving_versions=["1.15"])
    with pytest.raises(SetupError, match=r"Received: 1\.15"):
        run(examples, model, options, None, tmp_path)
