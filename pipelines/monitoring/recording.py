"""Enters what monitoring found into the store, and tells people where that is due."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from components.artifacts import MonitoringReport
from pipelines.monitoring.given import opened
from serving.notify import notify
from serving.notify.notifier import CHANNELS
from serving.store import Monitoring
from serving.store.ages import Moment

# Kept with the figures: 1 where people were told.
TOLD = "alert.told"
_DONE = "people were told"
_RECENT = 200
_BAD = ("alert", "retrain")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What became of a report.

    Attributes:
        monitoring_id: its number; 0 where nothing was written.
        verdict, reason: as in the report.
        told: whether people were told, or why not.
    """

    monitoring_id: int
    verdict: str
    reason: str
    told: str


def record(
    report: Path,
    store: str,
    *,
    repeat_hours: float,
    records: str = "",
    dry_run: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Recorded:
    """Tells people, then writes the entry; somebody who does not listen stops nothing.

    Args:
        report: of the monitor step.
        store: its URL.
        repeat_hours: people are told again of a verdict that has lasted so long.
        records: folder to copy the report into; '' for none.
        dry_run: tell nobody and write no entry.
        environment: variables that name the channels; those of the process by default.

    Raises:
        DataError: the store failed, or the report cannot be read.
    """
    content = MonitoringReport(report).read()
    kept = report
    if records:
        kept = Path(records)
        shutil.copytree(report, kept, dirs_exist_ok=True)
    verdict, reason = str(content["verdict"]), str(content["reason"])
    if dry_run:
        return Recorded(0, verdict, reason, "a dry run: nothing is entered, nobody is told")
    with opened(store) as database:
        model = str(content["model"])
        told = "nobody has to be told"
        if _due(database.monitoring.recent(model, _RECENT), verdict, repeat_hours):
            told = _tell(_message(content, kept), environment)
        figures = {name: figure["value"] for name, figure in content["figures"].items()}
        since, until = (
            datetime.fromisoformat(content[name]) for name in ("window_from", "window_to")
        )
        entry = database.monitoring.add(
            model,
            window=(since, until),
            requests=int(content["requests"]),
            verdict=verdict,
            reason=reason,
            figures={**figures, TOLD: float(told == _DONE)},
            report=str(MonitoringReport(kept).html_path.resolve()),
        )
    return Recorded(entry.id, verdict, reason, told)


def _tell(message: str, environment: Mapping[str, str] | None) -> str:
    variables = os.environ if environment is None else environment
    if not any(variables.get(name) for name in CHANNELS):
        return f"nobody is told: neither {' nor '.join(CHANNELS)} is set"
    return "; ".join(notify(message, environment)) or _DONE


def _due(recent: Sequence[Monitoring], verdict: str, repeat_hours: float) -> bool:
    """Whether people should hear of a verdict.

    They do when it is no longer what they heard last, be it worse or well again, and of a bad one
    again after a while. A message that did not arrive is tried again at the next monitoring.

    Args:
        recent: earlier monitorings, the newest first.
        verdict: of this one.
        repeat_hours: see `record`.
    """
    last = next((one for one in recent if one.figures.get(TOLD)), None)
    if verdict not in _BAD:
        # That too little is known is no news; that all is well again is.
        return verdict == "ok" and last is not None and last.verdict in _BAD
    if last is None or last.verdict != verdict:
        return True
    # A clock that was set back must not make it silent.
    return abs(Moment.now().wall - last.created) >= timedelta(hours=repeat_hours)


def _message(content: Mapping[str, Any], report: Path) -> str:
    words = {
        "ok": "is well again",
        "alert": "needs to be looked at",
        "retrain": "should be trained anew",
    }
    lines = [
        f"{content['model']} {words.get(content['verdict'], content['verdict'])}",
        *content["headline"],
        *(f"- {line}" for line in content["suggestions"]),
        f"Report: {MonitoringReport(report).html_path}",
    ]
    return "\n".join(lines)
