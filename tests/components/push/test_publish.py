"""No version is ever half there: full disks, foreign users, rivals and kills included."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import published_versions, saved_model_digest
from components.errors import PublishError
from components.push.publish import exclusive, publish

Make = Callable[..., Any]
ROOT = Path(__file__).parents[3]
PUSH = """
import os, pathlib, resource, sys
from importlib import metadata
from components.errors import one_line_errors
from components.push.options import PushOptions
from components.push.push import run
root, base, limit, user = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if int(user):
    metadata.version("pytest")  # Loads what the other user may not read.
    os.setuid(int(user))
folders = [pathlib.Path(root, name) for name in ("model", "decision", "evaluation", "drift")]
with one_line_errors():
    print(run(*folders, PushOptions(model_name="text", base_path=base), {}).version)
"""


def _start(root: Path, base: Path, limit: int = 0, user: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PUSH, str(root), str(base), str(limit), str(user)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _whole(base: Path) -> list[int]:
    """The versions that a server sees, each checked to be complete."""
    versions = published_versions(base, "text")
    for version in versions:
        assert saved_model_digest(version.path) == version.provenance()["model_digest"]
        assert version.evaluation().scores_path.is_file()
    numbers = [int(entry.name) for entry in (base / "text").iterdir() if entry.name.isdecimal()]
    assert sorted(numbers) == [version.version for version in versions]
    return sorted(numbers)


def _hidden(base: Path) -> list[str]:
    return [entry.name for entry in (base / "text").iterdir() if entry.name.startswith(".push-")]


def _failed(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    return told


def test_concurrent_pushes_get_versions_of_their_own(candidate: Make, tmp_path: Path) -> None:
    base = tmp_path / "models"
    rivals = [_start(candidate(name).root, base) for name in "abcd"]
    told = [rival.communicate(timeout=60)[0].split()[-1] for rival in rivals]
    assert sorted(told) == ["1", "2", "3", "4"]
    assert _whole(base) == [1, 2, 3, 4]


def test_concurrent_pushes_of_one_model_publish_it_once(candidate: Make, tmp_path: Path) -> None:
    made, base = candidate(), tmp_path / "models"
    rivals = [_start(made.root, base) for _ in range(3)]
    assert {rival.communicate(timeout=60)[0].split()[-1] for rival in rivals} == {"1"}
    assert _whole(base) == [1]


def test_a_push_waits_for_another_one_only_so_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with exclusive(tmp_path, "text") as folder:
        began = time.monotonic()
        with (
            pytest.raises(PublishError, match=r"no other push to .* for 0\.3 s") as caught,
            exclusive(tmp_path, "text", seconds=0.3),
        ):
            pass
        assert 0.3 <= time.monotonic() - began < 5
        assert "\n" not in str(caught.value)
        assert capsys.readouterr().out.count(f"waiting for another push to {folder}") == 1
    with exclusive(tmp_path, "text", seconds=0.3) as again:
        assert again == folder


def test_a_full_file_leaves_earlier_versions_alone(candidate: Make, tmp_path: Path) -> None:
    base = tmp_path / "models"
    candidate("a").push(base)
    told = _failed(_start(candidate("b").root, base, limit=1500))
    assert "File too large" in told
    assert "version 1 stays" in told
    assert _whole(base) == [1]
    assert _hidden(base) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_earlier_versions_alone(candidate: Make, small_disk: Path) -> None:
    candidate("a").push(small_disk)
    made = candidate("b")
    (made.folders[2] / "scores.parquet").write_bytes(os.urandom(400_000))
    told = _failed(_start(made.root, small_disk))
    assert "No space left on device" in told
    assert _whole(small_disk) == [1]
    assert _hidden(small_disk) == []


def test_an_unwritable_folder_leaves_earlier_versions_alone(candidate: Make) -> None:
    if os.getuid():
        pytest.skip("dropping to another user needs root")
    # Not below pytest's folder, which other users may not even enter.
    base = Path("/tmp") / f"loomline-test-{os.getpid()}"
    try:
        shutil.copytree(candidate("b").root, base / "candidate")
        candidate("a").push(base / "models")
        told = _failed(_start(base / "candidate", base / "models", user=65534))
        assert "Permission denied" in told
        assert "version 1 stays" in told
        assert _whole(base / "models") == [1]
    finally:
        shutil.rmtree(base)


def test_other_users_may_read_what_is_published(candidate: Make, tmp_path: Path) -> None:
    made = candidate()
    for path in [made.root, *made.root.rglob("*")]:
        path.chmod(0o700)
    mask = os.umask(0o022)
    published = made.push(tmp_path / "models")
    os.umask(mask)
    modes = {path.stat().st_mode & 0o444 for path in published.path.rglob("*")}
    assert modes == {0o444}
    assert published.path.stat().st_mode & 0o777 == 0o755


def test_a_killed_push_never_leaves_a_version_in_parts(candidate: Make, tmp_path: Path) -> None:
    base, kills = tmp_path / "models", random.Random(0)
    candidate("first").push(base)
    made = candidate("next")
    heavy = made.folders[2] / "scores.parquet"
    heavy.write_bytes(os.urandom(20_000_000))
    interrupted, longest = 0, 0.12
    for _ in range(30):
        process = _start(made.root, base)
        deadline = time.monotonic() + 20
        # Wait for the copying to begin, so that the kills fall into it and not before.
        while process.poll() is None and not _hidden(base) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(kills.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        interrupted += process.returncode == -signal.SIGKILL
        assert set(_whole(base)) <= {1, 2}
        if len(_whole(base)) == 2:
            # Too late to fall into the copying: how long that takes is the disk's to say.
            longest *= 0.7
            shutil.rmtree(base / "text" / "2")
        if interrupted >= 10:
            break
    assert interrupted >= 5
    assert made.push(base).version == 2
    assert _whole(base) == [1, 2]
    assert _hidden(base) == []


def test_an_interruption_while_filling_leaves_nothing(tmp_path: Path) -> None:
    def fill(version: Path) -> None:
        (version / "saved_model.pb").write_bytes(b"half")
        raise KeyboardInterrupt

    with exclusive(tmp_path, "text") as folder, pytest.raises(KeyboardInterrupt):
        publish(folder, fill)
    assert [entry.name for entry in (tmp_path / "text").iterdir()] == [".lock"]


def test_a_version_is_invisible_until_it_is_whole(tmp_path: Path) -> None:
    def fill(version: Path) -> None:
        (version / "saved_model.pb").write_bytes(b"whole")
        assert published_versions(tmp_path, "text") == []
        assert not version.name.isdecimal()

    with exclusive(tmp_path, "text") as folder:
        published = publish(folder, fill)
    assert published_versions(tmp_path, "text") == [published]


def test_the_message_survives_a_limit_in_this_process(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(version: Path) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        (version / "big").write_bytes(b"x" * 1000)

    try:
        with exclusive(tmp_path, "text") as folder, pytest.raises(PublishError, match="too large"):
            publish(folder, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
