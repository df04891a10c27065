"""The digests that keep the cache honest follow what makes a model, and nothing else."""

from pathlib import Path

from pipelines.config import load_config
from pipelines.digests import code_digest, inputs_fingerprint


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
