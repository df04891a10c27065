"""An ingestion by another Beam runner is compared with the one in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import SPLITS, TABLE, Examples, ExamplesManifest
from components.ingest import parts

Compare = Callable[..., Any]


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has small sources cut into parts as large ones are."""
    monkeypatch.setattr(parts, "PART_BYTES", 4096)
    monkeypatch.setattr(parts, "PART_FILES", 5)


@pytest.fixture
def equal_on(tmp_path: Path, many_parts: None, capfd: pytest.CaptureFixture[str]) -> Compare:
    """Ingests here and by a runner; the rows, their order and the manifests are the same."""

    def equal_on(
        run: Any, options: Any, beam: dict[str, Any], source: Any, least: int, **chosen: Any
    ) -> Any:
        here = run(options(source=str(source), **chosen), tmp_path / "here")
        there = run(options(source=str(source), **chosen, **beam), tmp_path / "there")
        assert _told(there) == _told(here)
        found = [rows_of(tmp_path / name) for name in ("here", "there")]
        by_id = [{row["example_id"]: row for row in rows} for rows in found]
        assert by_id[0] == by_id[1]
        assert found[0] == found[1], "the rows are the same, in another order"
        assert not list((tmp_path / "there").rglob(".*")), "something temporary was left behind"
        told = [line for line in capfd.readouterr().out.splitlines() if " parts for " in line]
        assert all(int(line.split()[1]) >= least for line in told), told
        return here

    return equal_on


def _told(manifest: ExamplesManifest) -> ExamplesManifest:
    """A manifest without the bytes of a table's batches in memory, which need not be the same."""
    if manifest.modality != TABLE:
        return manifest
    splits = {name: dataclasses.replace(info, bytes=0) for name, info in manifest.splits.items()}
    return dataclasses.replace(manifest, splits=splits)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows of examples, each with its split."""
    examples = Examples(path)
    return [
        {**row, "split": split}
        for split in SPLITS
        for batch in examples.batches(split)
        for row in batch.to_pylist()
    ]
