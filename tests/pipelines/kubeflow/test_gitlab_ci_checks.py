"""GitLab's jobs that check and build, run for real by gitlab-ci-local as far as a test can.

`lint` runs as it is. `test` runs one small file, because all of them would run this one again, and
installs nothing. `build-image` meets a stand-in for Docker: no registry is at hand to push to, and
`tests/manifests/image` builds and runs the images.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gitlab_project import ROOT, Project

DOCKER = """#!/bin/sh
echo "docker $*" >> "$DOCKER_LOG"
case "$1" in
  login) cat > "$DOCKER_LOG.password" ;;
  image) echo '[{"Config": {}}]' ;;
  create) echo service ;;
  inspect) echo "r.example/ml/loomline@sha256:$(printf '%064d' 7)" ;;
esac
"""
MAKE = """#!/bin/sh
[ "$1" = test-tools ] || exec {} "$@"
"""
PASSWORD = "of-the-registry"


def stands_in(name: str, script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a script in a program's place."""
    folder.mkdir()
    (folder / name).write_text(script, "utf-8")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def with_all_code(project: Project) -> None:
    for name in ("benchmarks", "manifests", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / name, project.path / name, ignore=ignored)


@pytest.mark.slow
def test_lint_checks_style_and_types_and_fails_where_they_are_not_kept(project: Project) -> None:
    with_all_code(project)
    # What `make lint` has found out here is known there.
    caches = {
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
        "RUFF_CACHE_DIR": str(ROOT / ".ruff_cache"),
    }
    ran = project.gitlab("lint", **caches)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "All checks passed!" in ran.stdout
    assert "Success: no issues found" in ran.stdout
    (project.path / "components" / "bad.py").write_text("import os\n", "utf-8")
    ran = project.gitlab("lint", **caches)
    assert ran.returncode != 0
    assert "F401" in ran.stdout + ran.stderr


@pytest.mark.slow
def test_the_tests_leave_a_report_for_gitlab(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "tests" / "components").mkdir(parents=True)
    chosen = "tests/components/test_errors.py"
    shutil.copy2(ROOT / chosen, project.path / chosen)
    make = shutil.which("make")
    assert make is not None
    stands_in("make", MAKE.format(make), tmp_path / "tools", monkeypatch)
    ran = project.gitlab("test")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = ElementTree.parse(project.path / "build" / "tests.xml").getroot()
    [suite] = report.iter("testsuite")
    assert int(suite.attrib["tests"]) > 0
    assert suite.attrib["failures"] == suite.attrib["errors"] == "0"


def test_an_image_is_pushed_and_kept_by_its_digest(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "docker.log"
    stands_in("docker", DOCKER, tmp_path / "tools", monkeypatch)
    ran = project.gitlab(
        "build-image: [gpu]",
        "--evaluate-rule-changes=false",
        DOCKER_LOG=str(log),
        CI_REGISTRY="r.example",
        CI_REGISTRY_IMAGE="r.example/ml/loomline",
        CI_REGISTRY_USER="ci",
        CI_REGISTRY_PASSWORD=PASSWORD,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    jobs = ("login", "build", "push", "inspect")
    said = [line for line in log.read_text("utf-8").splitlines() if line.split()[1] in jobs]
    assert [line.split()[1] for line in said] == list(jobs)
    assert "--build-arg VARIANT=gpu" in said[1]
    assert said[2].startswith("docker push r.example/ml/loomline:")
    assert said[2].endswith("-gpu")
    assert Path(f"{log}.password").read_text("utf-8").strip() == PASSWORD
    assert PASSWORD not in "".join(said)
    assert PASSWORD not in ran.stdout + ran.stderr
    kept = (project.path / "build" / "image-gpu.txt").read_text("utf-8")
    assert kept.startswith("r.example/ml/loomline@sha256:")
