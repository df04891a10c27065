"""A clone of the project in which gitlab-ci-local runs the jobs of .gitlab-ci.yml for real."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_kubeflow import FakeKubeflow

from pipelines.compilation import compile_config
from pipelines.config import load_config
from pipelines.hardware import load_hardware
from serving.review import reviewers
from serving.review.signing import make_key, public_bytes

ROOT = Path(__file__).parents[3]
TOOL = ROOT / ".tools" / "gitlab-ci-local" / "node_modules" / ".bin" / "gitlab-ci-local"
COPIED = ("components", "pipelines", "serving", "requirements", "Makefile", "pyproject.toml")
TOKEN = "a-token-that-no-log-may-hold"


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
    for name in ("bin", "lib", "pyvenv.cfg"):
        (made.path / ".venv" / name).symlink_to((ROOT / ".venv" / name).resolve())
    (made.path / ".venv" / ".ready").touch()
    return made
