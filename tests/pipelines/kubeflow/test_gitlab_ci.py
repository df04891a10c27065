"""GitLab's jobs do what they say: run for real by gitlab-ci-local, against the fake cluster.

The jobs that check, which would run this test again, and the one that builds images are not run
but held to GitLab's schema and to their rules.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_kubeflow import STEPS, FakeKubeflow

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
from pipelines.compilation import compile_config
from pipelines.config import load_config
from pipelines.hardware import load_hardware
from serving.review import reviewers
from serving.review.signing import make_key, public_bytes

ROOT = Path(__file__).parents[3]
TOOL = ROOT / ".tools" / "gitlab-ci-local" / "node_modules" / ".bin" / "gitlab-ci-local"
COPIED = ("components", "pipelines", "serving", "requirements", "Makefile", "pyproject.toml")
TOKEN = "a-token-that-no-log-may-hold"
IMAGE = "r.example/loomline@sha256:1"


@dataclasses.dataclass
class Project:
    """A clone of the project with a GitLab that runs its jobs, and the volume of a cluster."""

    path: Path
    volume: Path
    key: Path
    token_file: Path
    host: str

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
        command = ["git", "-C", str(self.path), *who, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def gitlab(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs gitlab-ci-local with the variables that the project's settings would have."""
        given = {
            "LOOMLINE_KFP_HOST": self.host,
            "LOOMLINE_KFP_TOKEN_FILE": str(self.token_file),
            "LOOMLINE_REVIEW_KEY": str(self.key),
            "LOOMLINE_REVIEW_URL": "https://gateway.example/review",
            "LOOMLINE_VOLUME": str(self.volume),
            "LOOMLINE_PROFILE": "quick",
            "LOOMLINE_HARDWARE": "cpu",
            "PYTHONPATH": str(self.path),
            **variables,
        }
        options = [f"--variable={name}={value}" for name, value in given.items()]
        command = [str(TOOL), *arguments, "--force-shell-executor", *options]
        environment = {**os.environ, "HOME": str(self.path.parent)}
        return subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=300
        )

    def jobs(self, **variables: str) -> dict[str, str]:
        """The jobs that a pipeline would have, and when they run."""
        listed = self.gitlab("--list-csv", **variables)
        assert listed.returncode == 0, listed.stderr
        assert "json schema validated" in listed.stderr
        rows = [line.split(";") for line in listed.stdout.splitlines() if line.count(";") == 5]
        return {row[0]: row[3] for row in rows[1:]}

    def changes(self, path: str) -> None:
        """Merges a change of one file."""
        self.git("update-ref", "refs/remotes/origin/main", "HEAD")
        changed = self.path / path
        changed.parent.mkdir(parents=True, exist_ok=True)
        changed.write_text("changed\n", "utf-8")
        self.git("add", "--all")
        self.git("commit", "--message", f"change {path}")


@pytest.fixture
def project(tmp_path: Path, host: str, kubeflow: FakeKubeflow) -> Project:
    for needed in ("node", "rsync", "git", "make"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is missing: make test-tools")
    if not TOOL.exists():
        pytest.skip("gitlab-ci-local is missing: make test-tools")
    made = Project(
        tmp_path / "project", tmp_path / "volume", tmp_path / "key", tmp_path / "token", host
    )
    made.path.mkdir()
    made.volume.mkdir()
    made.token_file.write_text(TOKEN, "utf-8")
    kubeflow.token = TOKEN
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (*COPIED, ".gitlab-ci.yml", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(
            ROOT / name,
            made.path / name,
            **({"ignore": ignored} if copy is shutil.copytree else {}),
        )
    reviewers.add(made.path / "approvers.json", "Ada", public_bytes(make_key(made.key)))
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("remote", "add", "origin", "git@gitlab.example:ml/loomline.git")
    made.git("add", "--all")
    made.git("commit", "--message", "first")
    made.git("update-ref", "refs/remotes/origin/main", "HEAD")
    made.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    # What `compile` makes, for the jobs that are tried without it.
    compile_config(
        load_config("text"),
        made.path / "build" / "training-text-quick-cpu.yaml",
        hardware=load_hardware("cpu", mount=str(made.volume)),
    )
    # `make setup` finds it done.
    (made.path / ".venv").mkdir()
    (made.path / ".venv" / "bin").symlink_to((ROOT / ".venv" / "bin").resolve())
    (made.path / ".venv" / ".ready").touch()
    return made


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
