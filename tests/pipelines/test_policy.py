"""Policies: from files, checked with the configuration, and replayed against past runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from components.artifacts import Decision, Drift, Evaluation, Figure, ValidationReport
from components.errors import ConfigError
from pipelines.cli import main
from pipelines.config import available_configs, load_config, load_policy


def loomline(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def policy(path: Path, *rules: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"rules": list(rules)}))
    return path


COPY = {"metric": "evaluation.copy_share", "at_most": 0.1}


def test_a_policy_file_takes_the_place_of_the_rules(tmp_path: Path) -> None:
    file = policy(tmp_path / "strict.yaml", COPY)
    config = load_config("text", overrides=[f"gate.policy={file}"])
    assert [rule.metric for rule in config.gate.rules] == ["evaluation.copy_share"]
    assert [rule["metric"] for rule in config.parameters()["gate_rules"]] == [COPY["metric"]]
    assert len(load_config("text", overrides=["gate.policy="]).gate.rules) > 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("rules: [", "expected a YAML file"),
        ("- a", "Received: list"),
        ("rules: []\nmore: 1", "Received: rules, more"),
        ("rules: 7", "a list. Received: 7"),
        ("rules: []", "at least 1 item"),
        ("rules: [{metric: evaluation.copy_share}]", "exactly one of at_most"),
        ("rules: [{metric: evaluation.copy_sha, at_most: 1}]", "the closest name is evaluation.c"),
        ("rules: [{metric: evaluation.frechet_distance, at_most: 1}]", "a figure that text has"),
        ("rules: [{metric: a, at_most: 1, bound: 2}]", "bound"),
        ("rules: [{metric: evaluation.copy_share, at_most: .nan}]", "a finite number"),
        (
            "rules: [{metric: evaluation.copy_share, at_most: 0.1},"
            " {metric: evaluation.copy_share, at_least: 2e-1}]",
            "rules 1 and 2 on 'evaluation.copy_share', which no value passes",
        ),
    ],
)
def test_a_wrong_policy_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_text(content)
    done = loomline("config", "text", f"--set=gate.policy={file}")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    if content is not None:
        with pytest.raises(ConfigError):
            load_policy(str(file), "text")


@pytest.mark.parametrize("name", available_configs())
def test_the_shipped_policies_speak_of_known_figures(name: str) -> None:
    rules, modality = load_policy(name, "text")
    assert rules
    assert modality == load_config(name).modality


def record(root: Path, run: str, share: float, **champion: float) -> None:
    """Records of a run that was approved."""
    folder = root / "records" / run
    figures = {"copy_share": Figure(share, samples=64, unit="share")}
    measured = {name: dataclasses.asdict(figure) for name, figure in figures.items()}
    rival = {name: dataclasses.asdict(Figure(value)) for name, value in champion.items()}
    evaluation = {"figures": measured, "model_digest": "m", "eval_digest": "e"}
    evaluation["champion"] = {"version": 3, "figures": rival} if champion else None
    Evaluation(folder).write(evaluation, "")
    moved = {"data.drift_share": dataclasses.asdict(Figure(0.5, samples=100))}
    Drift(folder).write({"figures": moved}, "")
    rejected = {"rejected_share": dataclasses.asdict(Figure(0.25, samples=100))}
    ValidationReport(folder).write({"figures": rejected}, "")
    verdict = {"approved": True, "champion_version": 3 if champion else None}
    Decision(folder).write(verdict, "")


def test_a_policy_is_replayed_against_past_runs(tmp_path: Path) -> None:
    record(tmp_path, "a", 0.05)
    record(tmp_path, "b", 0.3, copy_share=0.1)
    (tmp_path / "records" / "failed").mkdir()
    file = policy(
        tmp_path / "p.yaml",
        {**COPY, "at_most": 0.4},
        {"metric": "evaluation.copy_share", "at_most": "champion"},
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = loomline("policy", "test", file, tmp_path)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[1].split()[:2] == ["a", "approved"]
    assert "the same" in lines[1]
    assert "rejected" in lines[2]
    assert "evaluation.copy_share: 0.3 is above version 3 0.1" in lines[2]
    assert lines[3] == "1 of 2 decisions would change"
    assert loomline("policy", "test", file, tmp_path, "--strict").exit_code == 3
    assert loomline("policy", "test", file, tmp_path / "records" / "a", "--strict").exit_code == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_validation_and_drift_count_in_a_replay(tmp_path: Path) -> None:
    record(tmp_path, "a", 0.05)
    for metric, bound in (("validation.rejected_share", 0.2), ("drift.data.drift_share", 0.4)):
        file = policy(tmp_path / "p.yaml", {"metric": metric, "at_most": bound})
        assert f"{metric}: " in loomline("policy", "test", file, tmp_path).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "{tmp}"], "no configuration 'nothing'"),
        (["{tmp}/p.yaml", "{tmp}"], "expected runs that came to a decision"),
        (["{tmp}/p.yaml", "{tmp}/none"], "does not exist"),
        (["{tmp}/p.yaml", "{tmp}", "--modality=sound"], "expected one of text, image, table"),
        (["{tmp}/p.yaml", "{tmp}/broken"], "expected a JSON file"),
    ],
)
def test_a_mistake_is_exit_code_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    policy(tmp_path / "p.yaml", COPY)
    record(tmp_path / "broken", "a", 0.1)
    (tmp_path / "broken" / "records" / "a" / "drift.json").write_text("{")
    done = loomline("policy", "test", *(one.format(tmp=tmp_path) for one in arguments))
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_figures_are_listed() -> None:
    assert "evaluation.latency_ms\n" in loomline("policy", "metrics", "image").output
    assert loomline("policy", "metrics", "sound").exit_code == 2
