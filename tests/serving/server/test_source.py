"""Only complete, numeric version folders count."""

from __future__ import annotations

from pathlib import Path

from serving.server.source import complete_versions


def test_numeric_folders_with_a_saved_model_are_versions(tmp_path: Path) -> None:
    for name in ("1", "12", "007", "tmp", ".13", "-3", "٣", "1.5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "99").mkdir()
    (tmp_path / "98").touch()
    found = complete_versions(tmp_path)
    assert found == {1: tmp_path / "1", 12: tmp_path / "12", 7: tmp_path / "007"}


def test_a_missing_base_path_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert complete_versions(tmp_path) == {}
    assert complete_versions(tmp_path / "to come") is None
    (tmp_path / "file").touch()
    assert complete_versions(tmp_path / "file") is None
