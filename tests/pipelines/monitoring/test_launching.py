"""Runs start on a cluster once, over a connection that breaks."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
from fake_kubeflow import FakeKubeflow, Fault
from kfp.dsl import Artifact

from components.artifacts import read_json, write_json
from components.errors import ConfigError
from components.monitor.options import LIMITS, MonitorOptions
from pipelines.hardware import load_hardware
from pipelines.kubeflow import KubeflowError
from pipelines.kubeflow.submission import RUNS
from pipelines.monitoring import launching
from pipelines.monitoring.components import retrain
from pipelines.monitoring.launching import Cluster, start, state
from pipelines.monitoring.parameters import DEFAULTS

# As Kubeflow hands it on: numbers are floats.
HARDWARE = {
    **load_hardware("gpu").model_dump(mode="json", exclude_none=True),
    "image": "me/i:1",
    "accelerator": {"type": "nvidia.com/gpu", "count": 2.0},
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.kubeflow.api.FIRST_WAIT", 0.01)


@pytest.fixture
def cluster(host: str) -> Cluster:
    return Cluster(host, "", "retrainings", "/volume/records/")


@pytest.fixture
def launch(cluster: Cluster) -> Callable[[], str]:
    def launch() -> str:
        return start(cluster, "retraining-text-1", "text", "quick", ["train.steps=9"], HARDWARE)

    return launch


def test_the_training_pipeline_of_the_configuration_is_started(
    kubeflow: FakeKubeflow, launch: Callable[[], str]
) -> None:
    run = kubeflow.runs[launch()]
    assert run["display_name"] == "retraining-text-1"
    (experiment,) = kubeflow.experiments.values()
    assert experiment["display_name"] == "retrainings"
    (version,) = kubeflow.versions.values()
    spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
    assert spec["pipelineInfo"]["name"] == "loomline-training-text"
    images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
    assert images == {"me/i:1"}
    defaults = spec["root"]["inputDefinitions"]["parameters"]
    assert defaults["hardware_accelerator_type"]["defaultValue"] == "nvidia.com/gpu"
    assert defaults["hardware_accelerator_count"]["defaultValue"] == "2"
    assert spec["root"]["inputDefinitions"]["parameters"]["train_steps"]["defaultValue"] == 9
    given = run["runtime_config"]["parameters"]
    assert given["records"] == "/volume/records/retraining-text-1"
    assert len(given["source_digest"]) == len(given["code_digest"]) == 64
    assert given["provenance"]["run"] == "retraining-text-1"
    assert given["provenance"]["config"]["train"]["steps"] == 9


@pytest.mark.parametrize("fault", [Fault("POST", RUNS, 503), Fault("POST", RUNS, after=True)])
def test_a_fault_is_tried_again_and_starts_one_run(
    kubeflow: FakeKubeflow, launch: Callable[[], str], fault: Fault
) -> None:
    kubeflow.faults = [fault]
    first = launch()
    assert launch() == first, "the same retraining asked for again"
    assert len(kubeflow.runs) == 1


def test_a_token_that_is_refused_is_one_line(
    kubeflow: FakeKubeflow, cluster: Cluster, tmp_path: Path
) -> None:
    kubeflow.token = "secret"
    with pytest.raises(KubeflowError, match="401"):
        state(cluster, "r1")
    token = tmp_path / "token"
    token.write_text("secret\n", "utf-8")
    kubeflow.runs["r1"] = {"run_id": "r1", "display_name": "x", "state": "SUCCEEDED"}
    assert state(Cluster(cluster.host, str(token)), "r1") == "succeeded"


def test_where_several_share_the_cluster_a_step_asks_as_its_pod_and_in_its_namespace(
    kubeflow: FakeKubeflow, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeflow.multi_user, kubeflow.token = True, "of the service account"
    token = tmp_path / "token"
    token.write_text(kubeflow.token, "utf-8")
    # As the pipeline's pod has them: from the PodDefault, and from the downward API.
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    monkeypatch.setenv("LOOMLINE_NAMESPACE", "ada")
    cluster = Cluster(host)
    run = start(cluster, "retraining-text-1", "text", "quick", [], {})
    (experiment,) = kubeflow.experiments.values()
    assert experiment["namespace"] == "ada"
    assert kubeflow.runs[run]["experiment_id"] == experiment["experiment_id"]
    kubeflow.runs[run]["state"] = "SUCCEEDED"
    assert state(cluster, run) == "succeeded"

    with pytest.raises(KubeflowError, match="403 PermissionDenied: no access to namespace bob"):
        start(Cluster(host, str(token), namespace="bob"), "another", "text", "quick", [], {})
    monkeypatch.delenv("LOOMLINE_NAMESPACE")
    with pytest.raises(ConfigError, match="shared by several users: expected --namespace"):
        start(Cluster(host, str(token)), "another", "text", "quick", [], {})


def test_the_token_is_the_one_that_is_named_or_the_one_that_kubeflow_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "usual"
    monkeypatch.setattr(launching, "TOKEN_PATH", str(usual))
    assert Cluster("http://kfp").connection.token_file is None
    usual.write_text("token", "utf-8")
    assert Cluster("http://kfp").connection.token_file == usual
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/variable")
    assert Cluster("http://kfp").connection.token_file == Path("/variable")
    assert Cluster("http://kfp", "/named").connection.token_file == Path("/named")


def test_the_step_of_the_monitoring_pipeline_starts_it(
    kubeflow: FakeKubeflow, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubeflow calls it, in a pod of a user's namespace."""
    kubeflow.multi_user, kubeflow.token = True, "of the service account"
    token = tmp_path / "token"
    token.write_text(kubeflow.token, "utf-8")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    monkeypatch.setenv("LOOMLINE_NAMESPACE", "ada")
    write_json(tmp_path / "recorded", {"reason": "prompts drifted", "monitoring_id": 0})
    names = [name for name in signature(retrain.python_func).parameters if name in DEFAULTS]
    limits = MonitorOptions().model_dump(mode="json", include=set(LIMITS))
    given = {
        **{name: DEFAULTS[name] for name in names},
        **limits,
        "model_name": "text",
        "store": f"sqlite:///{tmp_path / 'store.sqlite'}",
        "training_config": "text",
        "training_output": "/loomline/records",
        "kubeflow_host": host,
    }
    retraining = Artifact(uri=str(tmp_path / "retraining"))
    recorded = Artifact(uri=str(tmp_path / "recorded"))
    retrain.python_func(recorded=recorded, retraining=retraining, **given)
    (run,) = kubeflow.runs
    entry = read_json(tmp_path / "retraining")
    assert (entry["state"], entry["run"], entry["reason"]) == ("started", run, "prompts drifted")
    (experiment,) = kubeflow.experiments.values()
    assert experiment["namespace"] == "ada"


def test_a_cluster_of_one_user_is_not_told_a_namespace(
    kubeflow: FakeKubeflow, launch: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMLINE_NAMESPACE", "kubeflow")
    launch()
    (experiment,) = kubeflow.experiments.values()
    assert "namespace" not in experiment


def test_how_a_run_goes_is_told_in_one_of_three_words(
    kubeflow: FakeKubeflow, cluster: Cluster
) -> None:
    words = {"PENDING": "running", "FAILED": "failed", "CANCELED": "failed", "RUNNING": "running"}
    for name, word in words.items():
        kubeflow.runs["r"] = {"run_id": "r", "display_name": "x", "state": name}
        assert state(cluster, "r") == word


def test_a_wrong_configuration_is_told_before_anything_is_started(
    kubeflow: FakeKubeflow, cluster: Cluster
) -> None:
    with pytest.raises(ConfigError, match="no configuration"):
        start(cluster, "x", "none", "quick", [], {})
    assert not kubeflow.requests
