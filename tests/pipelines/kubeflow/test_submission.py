"""A pipeline is uploaded once, a run is started once, whatever happens on the way."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fake_kubeflow import FakeKubeflow, Fault

from components.errors import ConfigError
from pipelines.compilation import Package, compile_config, uncached
from pipelines.config import load_config
from pipelines.kubeflow import Connection, KubeflowError, submit_run
from pipelines.kubeflow.api import Api
from pipelines.kubeflow.submission import schedule, start, trigger_cron, trigger_every, upload


def test_submit_run_uploads_and_starts(kubeflow: FakeKubeflow, host: str, package: Package) -> None:
    run_id = submit_run(Connection(host), package.path, {"train_layers": 6}, "nightly", "run-7")
    [run] = kubeflow.runs.values()
    assert run["run_id"] == run_id
    assert run["display_name"] == "run-7"
    assert run["runtime_config"] == {"parameters": {"train_layers": 6}}
    [experiment] = kubeflow.experiments.values()
    assert experiment["display_name"] == "nightly"
    [version] = kubeflow.versions.values()
    assert version["display_name"] == package.version
    assert version["description"] == f"sha256:{package.digest}"
    assert (
        run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    )


def test_the_same_content_is_uploaded_once(
    kubeflow: FakeKubeflow, api: Api, package: Package, tmp_path: Path
) -> None:
    first = upload(api, package)
    assert upload(api, package) == first
    other = compile_config(load_config("text", "full"), tmp_path / "full.yaml")
    assert upload(api, other)["pipeline_id"] == first["pipeline_id"]
    assert len(kubeflow.pipelines) == 1
    assert len(kubeflow.versions) == 2
    assert kubeflow.requested("POST", "upload_version") == 2


def test_everything_of_a_name_is_found_page_by_page(api: Api, package: Package) -> None:
    for _ in range(5):
        start(api, package, upload(api, package), {}, "loomline", "one name")
    assert len(list(api.listed("/apis/v2beta1/runs", "runs", "one name"))) == 5


def test_on_a_shared_cluster_everything_is_in_ones_namespace(
    kubeflow: FakeKubeflow, host: str, package: Package
) -> None:
    kubeflow.multi_user = True
    connection = Connection(host, namespace="ada")
    for _ in range(2):
        submit_run(connection, package, {})
    [pipeline] = kubeflow.pipelines.values()
    [experiment] = kubeflow.experiments.values()
    assert pipeline["namespace"] == experiment["namespace"] == "ada"
    assert len(kubeflow.runs) == 2
    assert kubeflow.requested("GET", "namespace=ada") == 4


LOST = [
    Fault("POST", "{part}", after=True),
    Fault("POST", "{part}", 500, after=True),
    Fault("POST", "{part}", 504, after=True),
    Fault("POST", "{part}"),
    Fault("POST", "{part}", 503),
    Fault("POST", "{part}", 429, headers={"Retry-After": "0"}),
]


@pytest.mark.parametrize("part", ["pipelines", "upload_version", "experiments", "runs"])
@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.status}-{fault.after}")
def test_nothing_is_made_twice_when_an_answer_is_lost(
    kubeflow: FakeKubeflow, api: Api, package: Package, part: str, fault: Fault
) -> None:
    ending = f"/{part}" if part != "upload_version" else part
    kubeflow.faults = [dataclasses.replace(fault, part=ending)]
    start(api, package, upload(api, package), {}, "loomline", "run-7")
    assert kubeflow.faults[0].times == 0
    assert len(kubeflow.pipelines) == len(kubeflow.versions) == 1
    assert len(kubeflow.experiments) == len(kubeflow.runs) == 1


def test_somebody_elses_upload_of_the_same_content_is_taken(
    kubeflow: FakeKubeflow, api: Api, package: Package, host: str
) -> None:
    upload(api, package)
    kept = dict(kubeflow.versions)
    # Another job looks at the same instant, finds nothing, and meets a conflict.
    empty = b'{"total_size": 0}'
    kubeflow.faults = [Fault("GET", "/versions?", 200, body=empty)]
    assert upload(api, package)["pipeline_version_id"] in kept
    assert kubeflow.versions == kept


def test_runs_of_one_name_are_told_apart(
    kubeflow: FakeKubeflow, api: Api, package: Package
) -> None:
    version = upload(api, package)
    first = start(api, package, version, {}, "loomline", "run-7")
    kubeflow.faults = [Fault("POST", "/runs", after=True)]
    second = start(api, package, version, {}, "loomline", "run-7")
    assert first != second
    assert set(kubeflow.runs) == {first, second}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"train_layres": 6}, "has no parameter 'train_layres'. Accepted: "),
        ({"train_layers": "six"}, "train_layers: expected NUMBER_INTEGER. Received: 'six'"),
        ({"train_layers": True}, "train_layers: expected NUMBER_INTEGER. Received: True"),
        ({"gate_rules": {}}, "gate_rules: expected LIST"),
        ({"train_xla": 1}, "train_xla: expected BOOLEAN"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    kubeflow: FakeKubeflow, host: str, package: Package, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        submit_run(Connection(host), package, arguments)
    assert said in str(refused.value)
    assert kubeflow.requests == []


def test_a_refusal_is_told_in_the_clusters_words(
    kubeflow: FakeKubeflow, api: Api, package: Package
) -> None:
    body = b'{"code": 3, "message": "Invalid input error: too large", "details": []}'
    kubeflow.faults = [Fault("POST", "upload_version", 400, body=body)]
    with pytest.raises(KubeflowError, match="Received: 400 Invalid input error: too large"):
        upload(api, package)
    assert kubeflow.requested("POST", "upload_version") == 1


def test_a_schedule_is_kept_replaced_and_never_doubled(
    kubeflow: FakeKubeflow, api: Api, package: Package, tmp_path: Path
) -> None:
    recurring = uncached(package, tmp_path / "recurring.yaml")
    version = upload(api, recurring)

    def scheduled(every: str) -> tuple[str, bool]:
        trigger = trigger_every(every)
        return schedule(api, recurring, version, {}, "loomline", "text-quick", trigger)

    first, new = scheduled("6h")
    assert new
    [one] = kubeflow.recurring.values()
    assert one["trigger"] == {"periodic_schedule": {"interval_second": "21600"}}
    assert one["max_concurrency"] == "1"
    assert scheduled("6h") == (first, False)
    kubeflow.faults = [Fault("POST", "/recurringruns", after=True)]
    second, new = scheduled("1d")
    assert new
    assert second != first
    assert list(kubeflow.recurring) == [second]


def test_a_recurring_pipeline_answers_nothing_from_the_cache(
    package: Package, tmp_path: Path
) -> None:
    text = uncached(package, tmp_path / "recurring.yaml").path.read_text("utf-8")
    assert "enableCache: true" in package.path.read_text("utf-8")
    assert "enableCache" not in text


def test_triggers() -> None:
    assert trigger_cron("0 3 * * 1") == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert trigger_cron("30 0 3 * * MON") == {"cron_schedule": {"cron": "30 0 3 * * MON"}}
    for wrong in ("", "5", "6 hours", "0m"):
        with pytest.raises(ConfigError, match="--every expects an interval such as"):
            trigger_every(wrong)
    for wrong in ("", "* * *", "0 3 * * 1; rm"):
        with pytest.raises(ConfigError, match="--cron expects five fields"):
            trigger_cron(wrong)
