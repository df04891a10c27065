"""The digests that keep the cache honest follow what makes a model, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError
from components.guards.options import WORDS
from pipelines.config import load_config
from pipelines.digests import code_digest, files_of, inputs_fingerprint


def test_a_suite_of_ones_own_is_part_of_the_code(tmp_path: Path) -> None:
    suite = tmp_path / "suite.json"
    suite.write_text('{"expectations": [1]}', "utf-8")
    before = code_digest(suite)
    assert before == code_digest(suite)
    assert before != code_digest()
    suite.write_text('{"expectations": [2]}', "utf-8")
    assert code_digest(suite) != before


def test_where_a_model_is_published_does_not_change_what_it_is() -> None:
    config = load_config("text")
    elsewhere = load_config("text", overrides=["push.base_path=/elsewhere"])
    other = load_config("text", overrides=["train.seed=1"])
    before = inputs_fingerprint(config, "data", "code")
    assert inputs_fingerprint(elsewhere, "data", "code") == before
    changed = [(other, "data", "code"), (config, "data 2", "code"), (config, "data", "code 2")]
    assert before not in [inputs_fingerprint(*each) for each in changed]


def test_files_that_guards_name_are_part_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "words.txt").write_text("zebra")
    (tmp_path / "ids.txt").write_text("0" * 32)
    (tmp_path / "own_scorer.py").write_text("class Scorer: ...")
    monkeypatch.syspath_prepend(str(tmp_path))
    words: dict[str, Any] = {"name": "w", "scorer": WORDS, "options": {"lists": ["profanity_en"]}}
    words["options"]["lists"].append(str(tmp_path / "words.txt"))
    own = {"name": "own", "scorer": "own_scorer.Scorer"}
    overrides = [
        f"evaluate.guards={json.dumps([words])}",
        f"validate.guards={json.dumps([own])}",
        f"validate.known_outputs=[{tmp_path / 'ids.txt'}]",
    ]
    found = files_of(load_config("text", overrides=overrides))
    assert [path.name for path in found] == ["text.json", "own_scorer.py", "ids.txt", "words.txt"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("validate.known_outputs=[none.jsonl]", "validate.known_outputs: expected a file at none"),
        (
            "evaluate.guards=[{name: a, scorer: no_such.Scorer}]",
            "expected a module no_such that can be imported",
        ),
        (
            f"evaluate.guards=[{{name: a, scorer: {WORDS}, options: {{lists: [none.txt]}}}}]",
            "guard 'a': expected a file at none.txt",
        ),
    ],
)
def test_a_named_file_that_is_missing_is_told_before_anything_runs(
    override: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        files_of(load_config("text", overrides=[override]))
