"""GitLab's jobs do what they say: run for real by gitlab-ci-local, against the fake cluster.

What each change starts is held to the rules, and the file to GitLab's schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_kubeflow import STEPS, FakeKubeflow
from gitlab_project import TOKEN, Project

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Pending,
    digest_files,
    published_versions,
)
from components.push.options import PushOptions
from components.push.push import run as push
from components.summarize.records import Records, record_push
from components.summarize.summarize import run as summarize

IMAGE = "r.example/loomline@sha256:1"


def trains(kubeflow: FakeKubeflow, approved: bool) -> None:
    """Does what the steps on a cluster do to the volume, and ends the run."""

    def look(run: dict[str, Any]) -> None:
        if run["state"] != "PENDING":
            return
        parameters = run["runtime_config"]["parameters"]
        records = Path(parameters["records"])
        if approved:
            _has_a_model_wait(records, parameters)
        else:
            verdict = {"approved": False, "reason": "rejected: bits_per_byte is worse"}
            Records(records).decision().write(verdict, "<p>decision</p>")
        summarize("SUCCEEDED", "", records, parameters["provenance"])
        for step in STEPS:
            done = approved or step != "push"
            kubeflow.step(run, step, "SUCCEEDED" if done else "SKIPPED", f"{step} is done\n")
        kubeflow.end(run, "SUCCEEDED")

    kubeflow.on_look = look


def _has_a_model_wait(records: Path, parameters: dict[str, Any]) -> None:
    work = records.parents[1] / "work" / records.name
    model, decision = Model(work / "model"), Decision(work / "decision")
    evaluation, drift = Evaluation(work / "evaluation"), Drift(work / "drift")
    (model.saved_model / "variables").mkdir(parents=True)
    (model.saved_model / "saved_model.pb").write_bytes(b"graph")
    evaluation.write({"figures": {}, "model_digest": model.digest()}, "<p>evaluation</p>")
    drift.write({"figures": {}}, "<p>drift</p>")
    reports = (evaluation.json_path, drift.json_path)
    verdict = {
        "approved": True,
        "approval": "manual",
        "reason": "approved: all rules pass",
        "model_digest": model.digest(),
        "evidence": {path.name: digest_files(path) for path in reports},
        "champion_version": None,
    }
    decision.write(verdict, "<p>decision</p>")
    options = PushOptions(
        model_name="text",
        base_path=parameters["push_base_path"],
        approvers=parameters["push_approvers"],
    )
    folders = (model.path, decision.path, evaluation.path, drift.path)
    waiting = push(*folders, options, parameters["provenance"], records)
    assert isinstance(waiting, Pending)
    record_push(records, waiting)


def test_a_merge_is_compiled_uploaded_trained_and_promoted(
    project: Project, kubeflow: FakeKubeflow
) -> None:
    trains(kubeflow, approved=True)
    (project.path / "build" / "training-text-quick-cpu.yaml").unlink()
    project.changes("components/train/new.py")
    # As `build-image` leaves it.
    (project.path / "build" / "image-cpu.txt").write_text(f"{IMAGE}\n", "utf-8")
    # Run by its maker, a person starts `promote`; all others start by themselves.
    ran = project.gitlab("compile", "upload", "retrain", "review", "promote")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [run] = kubeflow.runs.values()
    # `upload` and `retrain` run at the same time, and make one version between them.
    [version] = kubeflow.versions.values()
    assert (
        run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    )
    assert IMAGE in json.dumps(version)
    assert (project.volume / "image-cpu.txt").read_text("utf-8").strip() == IMAGE
    told = json.loads((project.path / "build" / "run.json").read_text("utf-8"))
    assert told["outcome"] == "pending"
    assert told["name"] == run["display_name"]
    assert (project.path / "build" / "metrics.txt").read_text("utf-8").endswith("# EOF\n")
    assert (project.path / "reports" / "summary.json").is_file()
    assert f"{run['display_name']}" in ran.stdout
    [published] = published_versions(project.volume / "models", "text")
    assert "Ada approved text/" in ran.stdout
    record = json.loads(published.approval_path.read_text("utf-8"))
    assert record["signatures"]
    everything = ran.stdout + ran.stderr
    assert TOKEN not in everything
    assert "PRIVATE KEY" not in everything


def test_a_rejected_model_warns_and_a_person_may_reject_what_waits(
    project: Project, kubeflow: FakeKubeflow
) -> None:
    trains(kubeflow, approved=False)
    ran = project.gitlab("retrain", "--evaluate-rule-changes=false")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "WARN" in ran.stdout
    assert "rejected: rejected: bits_per_byte is worse" in ran.stdout

    trains(kubeflow, approved=True)
    again = project.gitlab(
        "retrain", "reject", "--evaluate-rule-changes=false", LOOMLINE_RUN="text-again"
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Ada rejected text/text-again" in again.stdout
    assert published_versions(project.volume / "models", "text") == []


def test_a_job_that_starts_anew_takes_the_run_that_there_is(
    project: Project, kubeflow: FakeKubeflow
) -> None:
    trains(kubeflow, approved=True)
    jobs = ("retrain", "--evaluate-rule-changes=false")
    assert project.gitlab(*jobs, LOOMLINE_RUN="text-7").returncode == 0
    assert project.gitlab(*jobs, LOOMLINE_RUN="text-7").returncode == 0
    assert len(kubeflow.runs) == 1


def test_a_wrong_token_fails_the_job_in_one_line(project: Project, kubeflow: FakeKubeflow) -> None:
    kubeflow.token = "another"
    ran = project.gitlab("upload", "--evaluate-rule-changes=false")
    assert ran.returncode != 0
    assert "error: expected" in ran.stdout + ran.stderr
    assert "401" in ran.stdout + ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr


def test_the_schedule_monitors(project: Project, kubeflow: FakeKubeflow) -> None:
    scheduled = {"CI_PIPELINE_SOURCE": "schedule"}
    assert project.jobs(**scheduled) == {"monitor": "on_success"}
    kubeflow.on_look = lambda run: kubeflow.end(run, "SUCCEEDED")
    # What the last merge left there; nobody has to name it.
    (project.volume / "image-cpu.txt").write_text(f"{IMAGE}\n", "utf-8")
    ran = project.gitlab("monitor", **scheduled)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = json.loads((project.path / "build" / "monitor.json").read_text("utf-8"))
    assert told["outcome"] == "finished"
    assert told["pipeline"] == "loomline-monitoring-text"
    [run] = kubeflow.runs.values()
    parameters = run["runtime_config"]["parameters"]
    assert parameters["models"] == f"{project.volume}/models"
    # What it trains anew waits for a person as what a merge trains.
    approvers = f"push.approvers={project.volume}/approvers.json"
    assert {"gate.approval=manual", approvers} <= set(parameters["training_set"])
    [version] = kubeflow.versions.values()
    assert IMAGE in json.dumps(version)


def test_an_image_that_is_built_elsewhere_is_named_by_a_variable(
    project: Project, kubeflow: FakeKubeflow
) -> None:
    ran = project.gitlab("compile", LOOMLINE_IMAGE=IMAGE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    compiled = project.path / "build" / "monitoring-text-quick-cpu.yaml"
    assert IMAGE in compiled.read_text("utf-8")


def test_another_volume_than_what_was_compiled_sees_fails_the_job_in_one_line(
    project: Project, kubeflow: FakeKubeflow, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ran = project.gitlab("upload", "--evaluate-rule-changes=false", LOOMLINE_VOLUME=str(other))
    assert ran.returncode != 0
    told = f"expected steps that see their volume at {other}"
    assert told in ran.stdout + ran.stderr
    assert not kubeflow.requests


CHECKS = {"lint": "on_success", "test": "on_success", "compile": "on_success"}
IMAGES = {f"build-image: [{variant}]": "on_success" for variant in ("cpu", "gpu", "tpu")}
CLUSTER = {"retrain": "on_success", "review": "on_success", "promote": "manual", "reject": "manual"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("components/train/new.py", {**CHECKS, **IMAGES, "upload": "on_success", **CLUSTER}),
        ("pipelines/configs/text.yaml", {**CHECKS, **IMAGES, "upload": "on_success", **CLUSTER}),
        ("data/new.txt", {**CHECKS, **IMAGES, "upload": "on_success", **CLUSTER}),
        ("manifests/image/tidy.py", {**CHECKS, **IMAGES, "upload": "on_success"}),
        ("serving/new.py", {**CHECKS, **IMAGES, "upload": "on_success"}),
        ("README.md", CHECKS),
    ],
)
def test_what_a_merge_starts_depends_on_what_it_changed(
    project: Project, path: str, expected: dict[str, str]
) -> None:
    project.changes(path)
    assert project.jobs() == expected


def test_without_a_cluster_there_are_only_checks(project: Project) -> None:
    project.changes("components/train/new.py")
    assert project.jobs(LOOMLINE_KFP_HOST="") == {**CHECKS, **IMAGES}
