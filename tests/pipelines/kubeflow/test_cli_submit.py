"""`loomline submit` hands over what a person chose, and ends a mistake in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_kubeflow import FakeKubeflow

from components.validate.suite import suite_path
from pipelines.cli import main
from pipelines.compilation import Package
from pipelines.digests import code_digest

Loomline = Callable[..., Result]


def handed_over(kubeflow: FakeKubeflow) -> dict[str, Any]:
    [run] = kubeflow.runs.values()
    parameters: dict[str, Any] = run["runtime_config"]["parameters"]
    return parameters


def test_a_run_gets_what_tells_it_apart(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    result = loomline("--run-name=run-7")
    assert result.exit_code == 0, result.output
    parameters = handed_over(kubeflow)
    digests = {"source_digest", "prompts_digest", "code_digest"}
    assert set(parameters) == {*digests, "records", "provenance"}
    assert parameters["prompts_digest"] == ""
    assert parameters["code_digest"] == code_digest(suite_path("text"))
    assert parameters["records"] == "/loomline/records/run-7"
    provenance = parameters["provenance"]
    assert provenance["run"] == "run-7"
    assert provenance["source_digest"] == parameters["source_digest"]
    assert provenance["config"]["train"]["layers"] == 4
    [run_id] = kubeflow.runs
    assert f"/#/runs/details/{run_id}" in result.stdout


def test_overrides_are_arguments_and_not_versions(
    kubeflow: FakeKubeflow, loomline: Loomline
) -> None:
    loomline("--run-name=a")
    result = loomline(
        "--run-name=b", "--set=train.layers=6", "--param=hardware_memory=64Gi",
        "--param=ingest_reference_from=1910",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(kubeflow.versions) == 1
    parameters = list(kubeflow.runs.values())[-1]["runtime_config"]["parameters"]
    assert parameters["train_layers"] == 6
    assert parameters["hardware_memory"] == "64Gi"
    # A year is a text here, whatever YAML takes it for.
    assert parameters["ingest_reference_from"] == "1910"
    assert parameters["provenance"]["config"]["train"]["layers"] == 6


def test_overrides_reach_monitoring_and_the_retraining_that_it_may_start(
    kubeflow: FakeKubeflow, host: str
) -> None:
    overrides = ["monitoring.window_hours=6", "drift.threshold=0.2"]
    overrides += ["gate.approval=manual", "push.approvers=/loomline/approvers.json"]
    arguments = [
        "submit",
        "text",
        f"--host={host}",
        "--pipeline=monitoring",
        "--param=dry_run=true",
    ]
    result = CliRunner().invoke(main, [*arguments, *(f"--set={one}" for one in overrides)])
    assert result.exit_code == 0, result.output
    parameters = handed_over(kubeflow)
    assert parameters["monitoring_window_hours"] == 6
    assert parameters["drift"]["threshold"] == 0.2
    assert parameters["training_set"] == overrides
    assert parameters["dry_run"] is True


def test_data_that_this_machine_cannot_read_are_never_answered_from_a_cache(
    kubeflow: FakeKubeflow, loomline: Loomline
) -> None:
    arguments = ["--set=ingest.source=/loomline/data/*.txt", "--set=ingest.reference_from="]
    arguments += ["--set=ingest.reference_to=", "--set=ingest.current_from="]
    for name in ("a", "b"):
        assert loomline(f"--run-name={name}", *arguments).exit_code == 0
    first, second = (run["runtime_config"]["parameters"] for run in kubeflow.runs.values())
    assert first["ingest_source"] == "/loomline/data/*.txt"
    assert first["source_digest"].startswith("unknown-")
    assert first["source_digest"] != second["source_digest"]


def test_upload_only_runs_nothing(
    kubeflow: FakeKubeflow, loomline: Loomline, package: Package, tmp_path: Path
) -> None:
    result = loomline("--upload-only", f"--result={tmp_path / 'r.json'}")
    assert result.exit_code == 0, result.output
    assert kubeflow.runs == {}
    told = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert told["version"] == package.version


def test_a_schedule(kubeflow: FakeKubeflow, loomline: Loomline) -> None:
    result = loomline("--cron=0 3 * * 1")
    assert result.exit_code == 0, result.output
    assert loomline("--cron=0 3 * * 1").stdout.count("scheduled before: text-quick (") == 1
    [scheduled] = kubeflow.recurring.values()
    assert scheduled["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert "source_digest" not in scheduled["runtime_config"]["parameters"]
    [version] = kubeflow.versions.values()
    assert "enableCache" not in json.dumps(version["pipeline_spec"])


def test_once_takes_the_run_of_that_name_unless_it_failed(
    kubeflow: FakeKubeflow, loomline: Loomline
) -> None:
    for _ in range(2):
        assert loomline("--run-name=run-7", "--once").exit_code == 0
    [run] = kubeflow.runs.values()
    run["state"] = "FAILED"
    loomline("--run-name=run-7", "--once")
    assert len(kubeflow.runs) == 2


def test_it_is_compiled_where_no_package_is_given(
    kubeflow: FakeKubeflow, host: str, package: Package
) -> None:
    result = CliRunner().invoke(main, ["submit", "text", f"--host={host}"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"compiled {package.name} {package.version}")
    [version] = kubeflow.versions.values()
    assert version["display_name"] == package.version


def test_an_edited_package_is_refused_unless_that_is_meant(
    kubeflow: FakeKubeflow, loomline: Loomline, package: Package, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.yaml"
    text = package.path.read_text("utf-8")
    edited.write_text(text.replace("maxRetryCount: 2", "maxRetryCount: 9"), "utf-8")
    result = loomline(f"--package={edited}")
    assert result.exit_code == 2
    assert "The file was edited" in result.stderr
    assert kubeflow.versions == {}
    assert loomline(f"--package={edited}", "--edited").exit_code == 0
    [version] = kubeflow.versions.values()
    assert version["display_name"] != package.version


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host="], "expected --host, or LOOMLINE_KFP_HOST"),
        (["--host=kubeflow.example"], "--host expects a URL"),
        (["--every=6h", "--cron=0 3 * * 1"], "expected at most one of --every"),
        (["--every=often"], "--every expects an interval"),
        (["--param=train_layers"], "--param expects NAME=VALUE"),
        (["--param=train_layers=six"], "train_layers: expected NUMBER_INTEGER"),
        (["--param=train_layres=6"], "no parameter 'train_layres'"),
        (["--param=a=["], "--param a: the value is not YAML"),
        (["--set=train.layres=6"], "Did you mean train.layers?"),
        (["--set=validate.suite=txet"], "validate.suite"),
        (["--set=ingest.source=sotu:1900"], "expected nothing after 'sotu:'"),
        (["--profile=fast"], "Accepted: quick, full"),
        (["--package={tmp}/none.yaml"], "expected a compiled pipeline at"),
        (["--token-file={tmp}/none"], "--token-file expects a file with a token"),
        (["--volume=/data"], "see their volume at /data (--volume, LOOMLINE_VOLUME). Received: /l"),
        (["--records=/data/records"], "records expects a place below /loomline, where the steps"),
        (["--set=push.base_path=models"], "push_base_path expects a place below /loomline, where"),
        (["--param=push_base_path=/m"], "or gs://, s3:// or nothing. Received: /m, which ends"),
        (["--param=push_approvers=a"], "push_approvers expects a place below /loomline"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    kubeflow: FakeKubeflow, loomline: Loomline, arguments: list[str], said: str, tmp_path: Path
) -> None:
    result = loomline(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == "", "refused before anything is said or done"
    assert kubeflow.versions == kubeflow.runs == kubeflow.recurring == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set=train.layres=6"], "Did you mean train.layers?"),
        (["--param=train_layres=6"], "no parameter 'train_layres'"),
        (["--hardware=gqu"], "no hardware 'gqu'"),
        (["--volume=data"], "--volume (LOOMLINE_VOLUME) expects an absolute path. Received: data"),
        (["--volume=/data", "--records=/loomline/records"], "records expects a place below /data"),
        (["--hardware={tmp}/bare.yaml", "--volume=/v"], "Received: volume: null"),
        (["--hardware={tmp}/bare.yaml", "--records=/loomline/r"], "records expects nothing, bec"),
        (["--hardware={tmp}/mine.yaml", "--volume=/v"], "one folder. Received: /mine and /v"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_would_be_compiled_is_refused_before_it_is(
    kubeflow: FakeKubeflow, host: str, arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text("volume: null\n", "utf-8")
    (tmp_path / "mine.yaml").write_text("volume: {mount: /mine}\n", "utf-8")
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    result = CliRunner().invoke(main, ["submit", "text", f"--host={host}", *given])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert kubeflow.requests == []


def test_the_steps_see_the_volume_where_the_runners_see_it(
    kubeflow: FakeKubeflow, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMLINE_VOLUME", "/mnt/loomline/")
    result = CliRunner().invoke(main, ["submit", "text", f"--host={host}", "--run-name=run-7"])
    assert result.exit_code == 0, result.output
    assert handed_over(kubeflow)["records"] == "/mnt/loomline/records/run-7"
    [version] = kubeflow.versions.values()
    inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert inputs["push_base_path"]["defaultValue"] == "/mnt/loomline/models"
    executors = version["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]
    mounts = {
        mount["mountPath"]
        for executor in executors["deploymentSpec"]["executors"].values()
        for mount in executor["pvcMount"]
    }
    assert mounts == {"/mnt/loomline"}
