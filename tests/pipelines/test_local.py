"""What a local run hands to the pipeline changes with all that a cache must not hide."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError, DataError
from pipelines.config import load_config
from pipelines.local import _arguments
from pipelines.output import Output


def handed_over(root: Path, *overrides: str) -> dict[str, Any]:
    given = [f"ingest.source={root / 'a.txt'}", "ingest.reference_from=", "ingest.reference_to="]
    config = load_config("text", overrides=[*given, "ingest.current_from=", *overrides])
    return _arguments(config, Output(root / "runs"), "")[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("A text.", "utf-8")
    return tmp_path


def test_a_changed_source_has_another_digest(root: Path) -> None:
    before = handed_over(root)
    (root / "a.txt").write_text("Another text.", "utf-8")
    after = handed_over(root)
    assert {key for key in before if before[key] != after[key]} == {
        "source_digest", "provenance", "records",
    }  # fmt: skip


def test_another_model_in_the_champions_place_has_another_digest(root: Path) -> None:
    assert handed_over(root)["champion_digest"] == ""
    version = root / "runs" / "models" / "text" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"one")
    before = handed_over(root)
    (version / "saved_model.pb").write_bytes(b"two")
    after = handed_over(root)
    assert before["champion"] == after["champion"] == str(version)
    assert before["champion_digest"] != after["champion_digest"]


def test_a_changed_suite_at_the_same_path_is_seen(root: Path) -> None:
    suite = root / "mine.json"
    suite.write_text(json.dumps({"expectations": [1]}), "utf-8")
    before = handed_over(root, f"validate.suite={suite}")
    suite.write_text(json.dumps({"expectations": [2]}), "utf-8")
    after = handed_over(root, f"validate.suite={suite}")
    assert before["code_digest"] != after["code_digest"]


def test_an_unknown_suite_is_refused_before_anything_runs(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected one of .*text"):
        handed_over(root, "validate.suite=txet")


def test_other_requests_at_the_same_path_are_seen_by_drift_alone(root: Path) -> None:
    asked = root / "asked.txt"
    asked.write_text("What is the state of the Union?\n", "utf-8")
    before = handed_over(root, f"drift.prompts={asked}")
    assert before["drift_prompts"] == str(asked)
    asked.write_text("What about tariffs?\n", "utf-8")
    after = handed_over(root, f"drift.prompts={asked}")
    assert {key for key in before if before[key] != after[key]} == {
        "prompts_digest", "provenance", "records",
    }  # fmt: skip
    assert before["provenance"]["run"] != after["provenance"]["run"]
    assert before["provenance"] | {"run": ""} == after["provenance"] | {"run": ""}


def test_requests_that_are_not_there_are_refused_before_anything_runs(root: Path) -> None:
    with pytest.raises(DataError, match=r"drift.prompts: expected a file at .*no such file"):
        handed_over(root, f"drift.prompts={root / 'gone.jsonl'}")
