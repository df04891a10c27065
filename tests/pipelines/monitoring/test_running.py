"""A monitoring on this machine reads the training data as the last run did."""

from __future__ import annotations

from pathlib import Path

from pipelines import local
from pipelines.config import load_config
from pipelines.monitoring import running
from pipelines.monitoring.launching import Cluster
from pipelines.output import Output


def test_the_training_data_are_answered_from_the_cache_of_the_last_run(tmp_path: Path) -> None:
    """Also where the configuration names files that count as code."""
    known, source = tmp_path / "outputs.txt", tmp_path / "a.txt"
    known.write_text("0" * 64, "utf-8")
    source.write_text("A text.", "utf-8")
    eras = [f"ingest.{era}=" for era in ("reference_from", "reference_to", "current_from")]
    overrides = (f"ingest.source={source}", *eras, f"validate.known_outputs=[{known}]")
    config, output = load_config("text", overrides=overrides), Output(tmp_path / "runs")
    request = running.MonitoringRequest("text", "quick", overrides, "sqlite:///store", "models")
    asked = running._arguments(config, request, output, tmp_path / "records")
    trained, _ = local._arguments(config, output)
    ingest = [name for name in trained if name.startswith("ingest_")]
    for name in ("source_digest", "code_digest", *ingest):
        assert asked[name] == trained[name], name


def test_a_retraining_on_a_cluster_is_handed_over_with_who_asks_and_where_it_runs(
    tmp_path: Path,
) -> None:
    cluster = Cluster("http://kfp", "/token", records="/v/records", namespace="ada")
    hardware = {"image": "me/i:1"}
    request = running.MonitoringRequest(
        "text", "quick", (), "sqlite:///store", "models", cluster=cluster, hardware=hardware
    )
    asked = running._arguments(load_config("text"), request, Output(tmp_path), tmp_path)
    assert asked["kubeflow_host"] == "http://kfp"
    assert asked["kubeflow_token_file"] == "/token"
    assert asked["kubeflow_namespace"] == "ada"
    assert asked["training_hardware"] == hardware
    assert asked["training_output"] == "/v/records"
    here = running.MonitoringRequest("text", "quick", (), "sqlite:///store", "models")
    asked = running._arguments(load_config("text"), here, Output(tmp_path), tmp_path)
    assert asked["kubeflow_host"] == ""
