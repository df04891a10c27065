"""Runs are copied into the real MLflow, once, however often they are exported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result

MISSING = "MLflow is missing: pip install 'loomline[mlflow]'"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a database that MLflow has made, which takes it ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        tracking = pytest.importorskip("mlflow.tracking", reason=MISSING)
        folder = tmp_path_factory.mktemp("mlflow")
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        client = tracking.MlflowClient(tracking_uri=uri)
        # It would put them beside the process.
        client.create_experiment("text", artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture
def tracking(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's own client; afterwards there are no runs."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    client = pytest.importorskip("mlflow.tracking").MlflowClient(tracking_uri=database)
    yield client
    for run in runs(client):
        client.delete_run(run.info.run_id)


def runs(tracking: Any) -> list[Any]:
    place = tracking.get_experiment_by_name("text").experiment_id
    found: list[Any] = list(tracking.search_runs([place]))
    return found


def test_a_run_is_copied_with_its_options_figures_lineage_and_reports(
    exported: Callable[..., Result], tracking: Any, database: str
) -> None:
    for _ in range(2):
        done = exported("a", "--to=mlflow", f"--tracking-uri={database}")
        assert done.exit_code == 0, done.output
    (run,) = runs(tracking)
    assert done.output.splitlines()[-1] == f"text/a is run {run.info.run_id}"
    assert (run.info.run_name, run.info.status) == ("a", "FINISHED")
    assert run.info.end_time - run.info.start_time == 61_500
    assert run.data.params == {
        "train.layers": "4", "train.rate": "0.001", "gate.rules": '[{"metric": "x"}]'
    }  # fmt: skip
    assert run.data.metrics == {"evaluation.bits_per_byte": 1.9}
    assert len(tracking.get_metric_history(run.info.run_id, "evaluation.bits_per_byte")) == 1
    told = {name: value for name, value in run.data.tags.items() if name.startswith("loomline.")}
    assert told["loomline.run"] == "text/a"
    assert told["loomline.source_digest"] == "d" * 64
    assert told["loomline.champion"] == "text/1"
    assert (told["loomline.version"], told["loomline.model_digest"]) == ("2", "2" * 64)
    assert told["loomline.approved"].startswith("by Ada at 2026-11-23T12:00:00")
    reports = [one.path for one in tracking.list_artifacts(run.info.run_id, "reports")]
    assert reports == ["reports/decision.json", "reports/evaluation.html"]


def test_several_runs_are_copied_and_a_failure_is_one(
    exported: Callable[..., Result], tracking: Any, database: str
) -> None:
    done = exported("a", "text/b", "--to=mlflow", f"--tracking-uri={database}")
    assert done.exit_code == 0, done.output
    found = {run.info.run_name: run.info.status for run in runs(tracking)}
    assert found == {"a": "FINISHED", "b": "FAILED"}
    # Whoever imports MLflow first decides whether it reports home.
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nonsense://x"])
def test_an_mlflow_that_is_away_is_one_line(
    exported: Callable[..., Result],
    one_line: Callable[[Result, str], None],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    pytest.importorskip("mlflow.tracking", reason=MISSING)
    done = exported("a", "--to=mlflow", f"--tracking-uri={address}")
    one_line(done, f"expected MLflow at {address} to take the run")
