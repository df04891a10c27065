"""The folder in which one run gathers what a person looks at afterwards."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.artifacts import Decision, Evaluation, Pending, Published, read_json, write_json


@dataclasses.dataclass(frozen=True)
class Records:
    """Copies of a run's reports, `summary.json`, `summary.md`, and how it came to its end.

    That is `pushed.json`, or where a person had the last word also `pending.json` and
    `approval.json`.
    """

    path: Path

    @property
    def pushed_path(self) -> Path:
        return self.path / "pushed.json"

    @property
    def pending_path(self) -> Path:
        return self.path / "pending.json"

    @property
    def approval_path(self) -> Path:
        return self.path / "approval.json"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    @property
    def markdown_path(self) -> Path:
        return self.path / "summary.md"

    def evaluation(self) -> Evaluation:
        return Evaluation(self.path)

    def decision(self) -> Decision:
        return Decision(self.path)

    def pushed(self) -> dict[str, Any] | None:
        """`version`, `path` and `model_digest` of what was pushed, or None."""
        if not self.pushed_path.is_file():
            return None
        content: dict[str, Any] = read_json(self.pushed_path)
        return content

    def pending(self) -> Pending | None:
        """The version that waits for a person's approval, or did; None where none had to."""
        if not self.pending_path.is_file():
            return None
        return Pending(Path(read_json(self.pending_path)["path"]))

    def pages(self) -> list[Path]:
        return sorted(self.path.glob("*.html"))


def gather(records: Path, reports: Iterable[Path]) -> None:
    """Copies every file of the report folders into the run's folder of records."""
    records.mkdir(parents=True, exist_ok=True)
    for report in reports:
        shutil.copytree(report, records, dirs_exist_ok=True)


def record_push(records: Path, published: Published) -> None:
    """Writes down which version the run pushed, or where its model waits for approval."""
    records.mkdir(parents=True, exist_ok=True)
    kept = Records(records)
    about = {
        "path": published.location,
        "model_digest": published.provenance()["model_digest"],
    }
    if isinstance(published, Pending):
        write_json(kept.pending_path, {**about, "base_path": published.base_path})
    else:
        write_json(kept.pushed_path, {"version": published.version, **about})
