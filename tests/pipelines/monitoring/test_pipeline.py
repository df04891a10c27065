"""The monitoring pipeline compiles for every modality, each parameter described and typed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from components.monitor.options import MonitorOptions
from pipelines.cli import main
from pipelines.config import load_config
from pipelines.modalities import MODALITIES
from pipelines.monitoring.parameters import DEFAULTS, PARAMETERS, chosen, descriptions, types
from pipelines.monitoring.running import MonitoringRequest, _arguments
from pipelines.output import Output


@pytest.mark.parametrize("name", ["text", "image", "table", "emoji"])
def test_it_compiles_with_the_configuration_as_its_defaults(name: str, tmp_path: Path) -> None:
    target = tmp_path / "monitoring.yaml"
    arguments = [
        "compile",
        name,
        "--pipeline=monitoring",
        f"--to={target}",
        "--image=me/i@sha256:1",
    ]
    arguments += ["--set=monitoring.window_hours=6", "--set=ingest.eval_percent=12"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    pipeline, platform = yaml.safe_load_all(target.read_text("utf-8"))
    modality = load_config(name).modality
    assert pipeline["pipelineInfo"]["name"] == f"loomline-monitoring-{modality}"
    inputs = pipeline["root"]["inputDefinitions"]["parameters"]
    assert all(one.get("description") for one in inputs.values())
    assert inputs["monitoring_window_hours"]["defaultValue"] == 6
    assert inputs["ingest_eval_percent"]["defaultValue"] == 12
    assert inputs["training_config"]["defaultValue"] == name
    # A retraining runs what this monitoring was compiled with.
    assert "ingest.eval_percent=12" in inputs["training_set"]["defaultValue"]
    assert inputs["training_hardware"]["defaultValue"]["image"] == "me/i@sha256:1"
    assert inputs["training_output"]["defaultValue"] == "/loomline/records"
    tasks = pipeline["root"]["dag"]["tasks"]
    assert set(tasks) == {"ingest", "collect", "monitor", "record", "condition-1"}
    for uncached in ("collect", "monitor", "record"):
        assert tasks[uncached]["cachingOptions"] == {}
    images = {
        executor["container"]["image"]
        for executor in pipeline["deploymentSpec"]["executors"].values()
    }
    assert images == {"me/i@sha256:1"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {name for name, one in executors.items() if "secretAsEnv" in one} == {
        "exec-ingest",
        "exec-collect",
        "exec-record",
        "exec-retrain",
    }
    assert all(one["pvcMount"] for one in executors.values())
    # Kubeflow mounts a token for its API into pods with this label alone.
    labelled = {name: one["podMetadata"]["labels"] for name, one in executors.items()
                if "podMetadata" in one}  # fmt: skip
    assert labelled == {"exec-retrain": {"access-ml-pipeline": "true"}}
    fields = executors["exec-retrain"]["fieldPathAsEnv"]
    assert {"name": "LOOMLINE_NAMESPACE", "fieldPath": "metadata.namespace"} in fields
    (secret,) = executors["exec-record"]["secretAsEnv"]
    assert secret["optional"] is True
    assert {one["envVar"] for one in secret["keyToEnv"]} == {
        "LOOMLINE_STORE",
        "LOOMLINE_WEBHOOK_URL",
        "LOOMLINE_SMTP_URL",
    }


@pytest.mark.parametrize("name", MODALITIES)
def test_the_parameters_agree(name: str) -> None:
    modality = MODALITIES[name]
    assert set(PARAMETERS) == set(DEFAULTS)
    assert set(types(modality)) == set(descriptions(modality))
    assert set(chosen(load_config(name))) <= set(types(modality))
    assert all(descriptions(modality).values())


def test_a_policy_is_checked_by_name() -> None:
    cases = {
        "monitoring.windows=3": "Did you mean monitoring.window_hours",
        "monitoring.rules=[{metric: a, at_most: 1, severity: block}]": "rules.0.severity",
        "monitoring.rules=[{metric: errors.share}]": "exactly one of at_most, at_least",
        "monitoring.rules=[{metric: a, at_most: 1, sample: 3}]": "Accepted: metric, at_most",
        "monitoring.rules=[{metric: error.share, at_most: 1}]": "closest name is errors.share",
        "monitoring.rules=[{metric: errors.share, at_most: latency}]": "Received: 'latency'",
    }
    for override, said in cases.items():
        done = CliRunner().invoke(main, ["config", "text", f"--set={override}"])
        assert done.exit_code == 2
        assert said in done.output


def test_every_option_of_monitoring_is_shown_with_its_meaning() -> None:
    done = CliRunner().invoke(main, ["config", "text"])
    for name, field in MonitorOptions.model_fields.items():
        assert f"  {name}: " in done.output
        assert field.description in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every=soon"], "--every expects a time such as 90s"),
        (["--every=0s"], "--every expects a time such as 90s"),
        (["--every=1h", "--once"], "--every or --once"),
        (["--every=1h", "--since=2026-11-28"], "--every without --since"),
        (["--since=noon"], "expected a time such as 2026-11-28T12:00"),
    ],
)
def test_wrong_wishes_are_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["monitor", "text", f"--output={tmp_path}", *options])
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.count("\n") == 1


def test_without_retraining_people_are_alerted_instead(tmp_path: Path) -> None:
    config = load_config("text")
    asked = MonitoringRequest("text", "quick", (), "sqlite:///:memory:", "")
    given = _arguments(config, asked, Output(tmp_path), tmp_path)["monitoring_rules"]
    assert "retrain" in {rule["severity"] for rule in given}
    told = dataclasses.replace(asked, tell_only=True)
    rules = _arguments(config, told, Output(tmp_path), tmp_path)["monitoring_rules"]
    assert {rule["severity"] for rule in rules} == {"alert"}
    assert [rule["metric"] for rule in rules] == [rule["metric"] for rule in given]
