"""Tells how a run on a cluster ended: what its gate said, or whose fault it was that it failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import read_json
from components.errors import ERROR_PREFIX
from components.summarize.records import Records
from pipelines.finishing.finish import SUMMARY_PREFIX
from pipelines.kubeflow.logs import Logs
from pipelines.kubeflow.run_steps import Step


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        outcome: 'pushed', 'pending' (a person has the last word), 'rejected', 'finished',
            'cancelled' or 'failed'.
        reason: one line.
        user_error: whether the failure is one that the user can mend.
        figures: headline figures of the model, where the run's log tells them.
    """

    outcome: str
    reason: str
    user_error: bool = False
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)


def outcome_of(run: Mapping[str, Any], steps: Mapping[str, Step], logs: Logs) -> RunOutcome:
    """Reads the outcome of a run that has ended.

    The exit handler writes it into the run's records, where this machine may see the volume they
    lie on, and into its log; where neither can be had, what became of the steps tells it, but for
    whether a model was published or waits.

    Args:
        run: the run, as the API describes it.
        steps: its steps.
        logs: their logs.
    """
    state = run.get("state")
    if state == "CANCELED":
        return RunOutcome("cancelled", "somebody cancelled it, in the UI or by the API")
    if state == "FAILED":
        return _failure(run, steps, logs)
    summary = _recorded(run)
    if not summary and "summarize" in steps:
        summary = _summary(logs.text(steps["summarize"]))
    if summary.get("outcome"):
        decision = summary.get("decision") or {}
        figures = summary.get("figures") or {}
        return RunOutcome(str(summary["outcome"]), str(decision.get("reason", "")), False, figures)
    if "gate" not in steps:
        return RunOutcome("finished", "")
    if "push" in steps and steps["push"].state == "SUCCEEDED":
        return RunOutcome("pushed", "published, or waiting where a person has the last word")
    return RunOutcome("rejected", "the gate did not let it through; its page says why")


def _failure(run: Mapping[str, Any], steps: Mapping[str, Step], logs: Logs) -> RunOutcome:
    failed = [step for step in steps.values() if step.state == "FAILED"]
    for step in failed:
        if mistake := _after(ERROR_PREFIX, f"{logs.text(step)}\n{step.problem}"):
            return RunOutcome("failed", f"{step.name}: {mistake}", user_error=True)
    told = [f"{step.name}: {step.problem}" for step in failed if step.problem]
    message = str((run.get("error") or {}).get("message") or "")
    named = ", ".join(step.name for step in failed) or "a step"
    reason = told[0] if told else message or f"{named} failed; its log is in the UI"
    return RunOutcome("failed", " ".join(reason.split()))


def _recorded(run: Mapping[str, Any]) -> dict[str, Any]:
    records = ((run.get("runtime_config") or {}).get("parameters") or {}).get("records")
    path = Records(Path(str(records))).summary_path if records else None
    if path is None or not path.is_file():
        return {}
    found: dict[str, Any] = read_json(path)
    return found


def _summary(text: str) -> dict[str, Any]:
    line = _after(SUMMARY_PREFIX, text)
    try:
        found = json.loads(line) if line else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _after(prefix: str, text: str) -> str:
    """What follows a prefix on the last line that has it."""
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return lines[-1].removeprefix(prefix) if lines else ""
