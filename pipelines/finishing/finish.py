"""Sums a run up, says so in one line of its log for whoever waits, and tells people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.artifacts import read_json
from components.summarize.records import Records
from components.summarize.summarize import run as summarize

# `loomline submit --wait` reads the outcome from this line of the log.
SUMMARY_PREFIX = "summary: "


def run(
    state: str,
    error: str,
    records_path: Path | None,
    provenance: dict[str, Any],
    notify: bool,
    job: str,
) -> str:
    """Ends a run.

    Args:
        state: Kubeflow's final state of the pipeline.
        error: what Kubeflow says of the failure; empty where there was none.
        records_path: the run's folder of records; None where it has none.
        provenance: what the run was made of.
        notify: tell people where one is needed.
        job: what Kubeflow calls the run.

    Returns:
        The summary as Markdown.
    """
    text = summarize(state, error, records_path, provenance)
    summary: dict[str, Any] = {"outcome": "finished" if state == "SUCCEEDED" else "failed"}
    if records_path is not None:
        kept = read_json(Records(records_path).summary_path)
        summary = {key: kept.get(key) for key in ("outcome", "decision", "pushed", "figures")}
    print(f"{SUMMARY_PREFIX}{json.dumps(summary, sort_keys=True)}", flush=True)
    if notify:
        reason = (summary.get("decision") or {}).get("reason", "")
        name = str(provenance.get("run") or job)
        for problem in tell(summary["outcome"], name, error or reason, str(records_path or "")):
            print(problem, flush=True)
    return text


def tell(outcome: str, name: str, reason: str, reports: str) -> list[str]:
    """Notifies people of a run that needs them.

    Args:
        outcome: how the run ended; people need not know of one that was pushed.
        name: the run's.
        reason: why it ended so, in one line.
        reports: where the reports lie; empty where there are none.

    Returns:
        What went wrong, a line each.
    """
    if outcome not in ("pending", "rejected", "failed"):
        return []
    from serving.notify import notify

    what = {"pending": "waits for approval"}.get(outcome, outcome)
    text = f"Run {name} {what}\n{reason}"
    if reports:
        text += f"\nReports: {reports}"
    if outcome == "pending":
        text += f"\nloomline approve {name}, or loomline reject {name}"
    return notify(text)
