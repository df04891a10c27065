"""Only complete, numeric version folders count, and a base path that is away unloads nothing."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.server.config import ModelConfig, VersionPolicy
from serving.server.source import Watcher, complete_versions


def version(base_path: Path, name: str) -> str:
    (base_path / name).mkdir(parents=True)
    (base_path / name / "saved_model.pb").touch()
    return str(base_path / name)


def test_numeric_folders_with_a_saved_model_are_versions(tmp_path: Path) -> None:
    for name in ("1", "12", "007", "tmp", ".13", "-3", "٣", "1.5", "9223372036854775808"):
        version(tmp_path, name)
    (tmp_path / "99").mkdir()
    (tmp_path / "98").touch()
    expected = {1: "1", 12: "12", 7: "007"}
    found = complete_versions(str(tmp_path))
    assert found == {number: str(tmp_path / name) for number, name in expected.items()}


def test_a_missing_base_path_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert complete_versions(str(tmp_path)) == {}
    assert complete_versions(str(tmp_path / "to come")) is None
    (tmp_path / "file").touch()
    assert complete_versions(str(tmp_path / "file")) is None


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user who is not root, whom permissions bind."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_a_version_that_may_not_be_looked_into_counts(unprivileged: Path) -> None:
    path = version(unprivileged, "1")
    (unprivileged / "1").chmod(0)
    # Its load then reports the reason, which passing it over would hide.
    assert complete_versions(str(unprivileged)) == {1: path}
    (unprivileged / "1").chmod(0o700)


def test_a_base_path_that_may_not_be_listed_is_as_one_that_is_missing(unprivileged: Path) -> None:
    version(unprivileged / "models", "1")
    (unprivileged / "models").chmod(0)
    assert complete_versions(str(unprivileged / "models")) is None
    (unprivileged / "models").chmod(0o700)


class Reports:
    """What a watcher has told."""

    def __init__(self) -> None:
        self.seen: list[dict[int, str]] = []
        self._changed = threading.Condition()

    def __call__(self, model: ModelConfig, found: dict[int, str]) -> None:
        with self._changed:
            self.seen.append(found)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, 20)


def watcher(seconds: float, reports: Reports, base_path: Path, **policy: object) -> Watcher:
    model = ModelConfig("text", str(base_path), VersionPolicy(**policy), {})  # type: ignore[arg-type]
    return Watcher(seconds, lambda: [model], reports)


def test_a_base_path_that_vanishes_is_not_reported_as_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base_path = tmp_path / "models"
    path = version(base_path, "1")
    reports = Reports()
    looking = watcher(0.02, reports, base_path)
    looking.start()
    reports.wait_for(1)
    base_path.rename(tmp_path / "away")
    time.sleep(0.2)
    before = len(reports.seen)
    time.sleep(0.2)
    assert len(reports.seen) == before
    (tmp_path / "away").rename(base_path)
    reports.wait_for(before + 1)
    looking.stop()
    assert all(found == {1: path} for found in reports.seen)
    told = [r.message for r in caplog.records if "Could not find base path" in r.message]
    assert len(told) == 1  # not once per look


def test_an_empty_base_path_is_reported_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "7").mkdir()
    reports = Reports()
    looking = watcher(0.02, reports, tmp_path, versions=frozenset({3}))
    with caplog.at_level(logging.WARNING):
        looking.start()
        reports.wait_for(3)
    looking.stop()
    (message,) = [record.message for record in caplog.records]
    assert "No versions of servable text found under base path" in message
    assert "passed over without a saved_model.pb: 7" in message
    assert "not found: 3" in message


def test_a_pause_of_0_looks_once_and_again_when_asked(tmp_path: Path) -> None:
    reports = Reports()
    looking = watcher(0, reports, tmp_path)
    looking.start()
    reports.wait_for(1)
    path = version(tmp_path, "1")
    time.sleep(0.2)
    assert reports.seen == [{}]
    looking.look()
    reports.wait_for(2)
    looking.stop()
    assert reports.seen == [{}, {1: path}]


def test_a_pause_below_0_never_looks(tmp_path: Path) -> None:
    version(tmp_path, "1")
    reports = Reports()
    looking = watcher(-1, reports, tmp_path)
    looking.start()
    looking.look()
    time.sleep(0.2)
    assert reports.seen == []
