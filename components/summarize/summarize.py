"""Writes the summary of a run, however it ended."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from components.artifacts import Figure, write_json
from components.summarize.records import Records
from components.summarize.trend import write_trend

HEADLINES = (
    "bits_per_byte",
    "yardsticks.xz",
    "yardsticks.byte_trigram",
    "yardsticks.byte_5gram",
    "distinct_2",
    "repetition",
    "copy_share",
    "frechet_distance",
    "conditional_accuracy",
    "precision",
    "recall",
    "quality",
    "tstr_ratio",
    "discriminator_auc",
)


def run(
    state: str,
    error: str,
    records_path: Path | None,
    provenance: dict[str, Any] | None = None,
) -> str:
    """Summarizes a run from its records.

    Args:
        state: Kubeflow's final state of the pipeline, such as SUCCEEDED or FAILED.
        error: what Kubeflow says of the failure; empty where there was none.
        records_path: the run's folder of records, into which `summary.json` and `summary.md` are
            written; None writes neither.
        provenance: what the run was made of, for the summary.

    Returns:
        The summary as Markdown.
    """
    if records_path is None:
        return _markdown({"outcome": _outcome(state, None, None, ""), "error": error})
    records_path.mkdir(parents=True, exist_ok=True)
    records = Records(records_path)
    # What does not depend on the model goes its own way.
    write_trend(records_path, [name for name in HEADLINES if "." not in name])
    decision = records.decision().read() if records.decision().json_path.is_file() else None
    pushed = records.pushed()
    pending = records.pending()
    summary: dict[str, Any] = {
        "outcome": _outcome(state, decision, pushed, _waiting(records)),
        "state": state,
        "error": error,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "decision": decision and {key: decision[key] for key in ("approved", "reason")},
        "pushed": pushed,
        "pending": str(pending.path) if pending else None,
        "figures": _headlines(records),
        "pages": [page.name for page in records.pages()],
    }
    if provenance:
        summary["provenance"] = provenance
    write_json(records.summary_path, summary)
    text = _markdown(summary)
    records.markdown_path.write_text(text, "utf-8")
    return text


def _outcome(
    state: str, decision: dict[str, Any] | None, pushed: dict[str, Any] | None, waiting: str
) -> str:
    if state not in ("SUCCEEDED", "COMPLETE"):
        return "failed"
    if decision is not None and not decision["approved"]:
        return "rejected"
    if pushed:
        return "pushed"
    return waiting or "finished"


def _waiting(records: Records) -> str:
    """What became of a model that had to wait for a person; empty where none had to."""
    if records.pending() is None:
        return ""
    # Where the person had approved, the model would have been pushed.
    return "rejected" if records.approval_path.is_file() else "pending"


def _headlines(records: Records) -> dict[str, float]:
    if not records.evaluation().json_path.is_file():
        return {}
    figures: dict[str, Figure] = records.evaluation().figures()
    return {name: figures[name].value for name in HEADLINES if name in figures}


def _markdown(summary: dict[str, Any]) -> str:
    lines = [f"# Run {summary['outcome']}", ""]
    if summary.get("error"):
        lines += [f"**Error:** {summary['error']}", ""]
    if summary.get("decision"):
        lines += [f"**Gate:** {summary['decision']['reason']}", ""]
    if summary.get("pushed"):
        pushed = summary["pushed"]
        lines += [f"**Serving:** version {pushed['version']} at `{pushed['path']}`", ""]
    elif summary["outcome"] == "pending" and summary.get("pending"):
        lines += [f"**Waiting for approval:** `{summary['pending']}`", ""]
    if summary.get("figures"):
        lines += ["| figure | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in summary["figures"].items()]
    return "\n".join(lines).rstrip() + "\n"
