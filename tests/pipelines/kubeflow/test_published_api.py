"""The fake is the published API's: the official client works with it, and the check can fail."""

import warnings
from pathlib import Path

import pytest
from fake_kubeflow import FakeKubeflow, Fault
from published_api import check, check_filter, operations

from pipelines.compilation import Package


def test_the_official_client_works_with_the_fake(
    kubeflow: FakeKubeflow, host: str, package: Package, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from kfp import Client

    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = Client(host=host)
    experiment = client.create_experiment("theirs")
    made = client._pipelines_api.pipeline_service_create_pipeline(
        pipeline={"display_name": "theirs"}
    )
    assert client.get_pipeline_id("theirs") == made.pipeline_id
    version = client.upload_pipeline_version(
        str(package.path), pipeline_version_name="v1", pipeline_id=made.pipeline_id
    )
    run = client.run_pipeline(
        experiment.experiment_id,
        "theirs",
        params={"train_layers": 2},
        pipeline_id=made.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    kubeflow.step(kubeflow.runs[run.run_id], "train", "FAILED", why="exit code 1")
    seen = client.get_run(run.run_id)
    told = [task.error.message for task in seen.run_details.task_details if task.error]
    assert told == ["exit code 1"]
    every = client.create_recurring_run(
        experiment.experiment_id,
        "theirs",
        interval_second="3600",
        max_concurrency="1",
        pipeline_id=made.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    client.delete_recurring_run(every.recurring_run_id)
    assert kubeflow.recurring == {}


@pytest.mark.parametrize("status", [429, 500])
def test_why_it_is_not_the_official_client(
    kubeflow: FakeKubeflow, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Should this fail, `kfp.Client` has learnt patience, and can take our client's place."""
    from kfp import Client
    from kfp_server_api import ApiException

    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = Client(host=host)
    kubeflow.faults = [Fault("GET", "/experiments", status)]
    with pytest.raises(ApiException):
        client.list_experiments()
    assert kubeflow.requested("GET", "/experiments") == 1


def test_the_published_operations_are_found() -> None:
    found = {(one.verb, one.path) for one in operations()}
    assert ("POST", "/apis/v2beta1/runs") in found
    assert ("POST", "/apis/v2beta1/pipelines/upload_version") in found
    assert len(found) > 30


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"name": "x"}, "V2beta1Run"),
        ({"display_name": 7}, "V2beta1Run"),
        ({"state": "BROKEN"}, "V2beta1Run"),
        ({"created_at": "yesterday"}, "V2beta1Run"),
        ({"trigger": {"cron": "x"}}, "V2beta1RecurringRun"),
        ({"max_concurrency": 1}, "V2beta1RecurringRun"),
        ({"run_details": {"task_details": [{"pod": "x"}]}}, "V2beta1Run"),
        ([], "V2beta1Run"),
    ],
)
def test_what_is_not_published_is_refused(value: object, kind: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(value, kind)


def test_a_filter_that_is_not_published_is_refused() -> None:
    with pytest.raises(AssertionError):
        check_filter('{"predicates": [{"operation": "LIKE", "key": "name"}]}')
