"""What an export tells of a run, whatever registry it goes to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from serving.store.comparing import flat
from serving.store.lineage import Origin

# Reports for people, and what machines read beside them.
_REPORTS = (
    "decision.html", "decision.json", "evaluation.html", "evaluation.json", "drift.html",
    "drift.json", "trend.html", "validation.html", "summary.json", "approval.json",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Content:
    """A run in plain words.

    Attributes:
        name: MODEL/RUN, by which a later export finds it again.
        parameters: every option, as text.
        figures: every figure that was measured.
        facts: digests, outcome and lineage.
        reports: files that are on this machine.
    """

    name: str
    parameters: dict[str, str]
    figures: dict[str, float]
    facts: dict[str, str]
    reports: list[Path]


def content_of(origin: Origin) -> Content:
    """What is told of a run."""
    run = origin.run
    facts = {
        "outcome": run.outcome,
        "reason": run.reason,
        "source": run.source,
        "source_digest": run.source_digest,
        "code_revision": run.code_revision,
        "code_digest": run.code_digest,
        "config_digest": run.config_digest,
        "records": run.records,
    }
    if run.champion_version is not None:
        facts["champion"] = f"{run.model}/{run.champion_version}"
    for version in origin.versions:
        facts["version"] = str(version.version)
        facts["model_digest"] = version.model_digest
        facts["model_path"] = version.path
    for verdict in origin.approvals:
        facts[verdict.verdict] = (
            f"by {verdict.reviewer} at {verdict.created.isoformat(timespec='seconds')}"
            + (f": {verdict.comment}" if verdict.comment else "")
        )
    folder = Path(run.records) if run.records else None
    reports = [folder / name for name in _REPORTS] if folder else []
    return Content(
        f"{run.model}/{run.run}",
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in flat(run.config)
        },
        {name: value for name, value in run.figures.items() if value is not None},
        {name: value for name, value in facts.items() if value},
        [path for path in reports if path.is_file()],
    )
