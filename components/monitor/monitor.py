"""Judges a window of the serving log by the monitoring policy, and writes the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.artifacts import Examples, Figure, MonitoringReport, ServingLog
from components.drift.detection import Comparison, compare
from components.drift.options import DriftOptions
from components.drift.sides import Side
from components.errors import DataError
from components.monitor.findings import findings
from components.monitor.fresh import DATA, fresh_sides
from components.monitor.judging import Judgement, decide, judge
from components.monitor.options import MonitorOptions
from components.monitor.quality import of_edits
from components.monitor.report import DETAILS, render
from components.monitor.sides import sides
from components.monitor.usage import of_feedback, of_requests


def run(
    log: Path,
    options: MonitorOptions,
    drift: DriftOptions,
    report: Path,
    examples: Path | None = None,
    fresh: Path | None = None,
) -> dict[str, Any]:
    """Writes `monitoring.json`, `monitoring.html` and Evidently's own page beside them.

    Args:
        log: what the collect step gathered.
        options: the policy.
        drift: methods and thresholds of drift.
        report: folder to write.
        examples: of the training data; None for no comparison of data.
        fresh: examples of fresh data; None for the current era of `examples`, if there is one.

    Returns:
        What `monitoring.json` holds.

    Raises:
        ConfigError: Evidently has no such drift method.
        DataError: the log cannot be read.
    """
    source = ServingLog(log)
    about = source.collected()
    report.mkdir(parents=True, exist_ok=True)
    figures = of_requests(source, options)
    requests = int(figures["requests.count"].value)
    figures |= of_feedback(source, requests)
    figures |= of_edits(source)
    pairs, missing = _pairs(source, about["modality"], options, drift, examples, fresh)
    compared: dict[str, Comparison] = {}
    if pairs:
        print(f"progress: comparing {' and '.join(pairs)}", flush=True)
        # Choices for the columns of the data are not for those of prompts.
        plain = drift.model_copy(update={"columns": []})
        compared = compare(pairs, plain, report / DETAILS, [DATA], "requests")
        figures |= _drift_figures(compared)
    if not requests:
        missing = {"": "no request came in the window"}
    judgements = [judge(rule, figures, missing) for rule in options.rules]
    verdict, reason = decide(judgements)
    if not requests and verdict in ("ok", "insufficient"):
        verdict, reason = "insufficient", "no request came in the window"
    history = about["history"]
    found = findings(verdict, reason, judgements, compared, history)
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        **{name: about[name] for name in ("model", "version", "window_from", "window_to")},
        "requests": requests,
        "verdict": verdict,
        "reason": reason,
        "headline": list(found.headline),
        "suggestions": list(found.suggestions),
        "notes": about["notes"],
        "rules": [_entry(judgement) for judgement in judgements],
    }
    page = render(content, figures, judgements, compared, found, history)
    MonitoringReport(report).write(content, page)
    print(f"progress: {verdict}: {reason}", flush=True)
    return content


def _pairs(
    source: ServingLog,
    modality: str,
    options: MonitorOptions,
    drift: DriftOptions,
    examples: Path | None,
    fresh: Path | None,
) -> tuple[dict[str, tuple[Side, Side]], dict[str, str]]:
    """The sides of every comparison, and why others cannot be made, by beginnings of figures."""
    pairs, absent = sides(source, modality, options.sampled_requests)
    if examples is not None:
        try:
            pair = fresh_sides(Examples(examples), Examples(fresh) if fresh else None, drift)
        except DataError as error:
            pair = str(error)
        if isinstance(pair, str):
            absent[DATA] = pair
        else:
            pairs[DATA] = pair
    missing = {f"drift.{name}.": why for name, why in absent.items()}
    if not source.baseline_path.is_file():
        missing["quality."] = "the served version has no scores of held-out texts beside it"
    return pairs, missing


def _drift_figures(compared: dict[str, Comparison]) -> dict[str, Figure]:
    found = {}
    for name, comparison in compared.items():
        samples = min(comparison.reference.rows, comparison.current.rows)
        found[f"drift.{name}.drift_share"] = Figure(
            comparison.share,
            samples=samples,
            unit="share",
            better="lower",
            label="share of measures that moved",
        )
        if comparison.domain:
            found[f"drift.{name}.domain_auc"] = Figure(
                comparison.domain.auc,
                comparison.domain.low,
                comparison.domain.high,
                comparison.domain.rows,
                unit="AUC",
                better="lower",
                label="how well a classifier tells now from before",
            )
        for column in comparison.columns:
            found[f"drift.{name}.score.{column.descriptor.name}"] = Figure(
                column.score, samples=samples, label=f"drift of {column.descriptor.label}"
            )
    return found


def _entry(judgement: Judgement) -> dict[str, Any]:
    figure = judgement.figure
    measured = {name: getattr(figure, name, None) for name in ("value", "low", "high", "samples")}
    return {
        **judgement.rule.model_dump(),
        **measured,
        "bound": judgement.bound,
        "state": judgement.state,
        "reason": judgement.reason,
    }
