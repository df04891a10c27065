"""Decides by a policy whether a model may be pushed, and writes down why."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Figure,
    Model,
    Report,
    ValidationReport,
    digest_files,
)
from components.errors import AlteredModelError
from components.gate.champion import Champion, read_champion
from components.gate.lineage import read_lineage
from components.gate.options import GateOptions
from components.gate.report import render
from components.gate.rules import Judgement, judge


def run(
    model: Path,
    evaluation: Path,
    drift: Path,
    options: GateOptions,
    champion: Path | None,
    decision: Path,
    validation: Path | None = None,
) -> bool:
    """Applies every rule and writes `decision.json` and `decision.html`.

    Args:
        model: artifact of the train step.
        evaluation: artifact of the evaluate step; its figures are named `evaluation.NAME`, and
            those of the versions before it give the figures `lineage.NAME`.
        drift: artifact of the drift step; its figures are named `drift.COMPARISON.NAME`.
        options: the policy.
        champion: folder of the published version to compare with, or None.
        decision: folder to write.
        validation: report of the validate step; its figures are named `validation.NAME`.

    Returns:
        Whether the model may be pushed: no rule of severity `block` failed.

    Raises:
        AlteredModelError: the evaluation is about another model.
        ModelError: there is no SavedModel.
        DataError: the evaluation or the drift report cannot be read.
    """
    digest = Model(model).digest()
    measured = Evaluation(evaluation)
    about = measured.read().get("model_digest")
    if about != digest:
        raise AlteredModelError(
            f"expected an evaluation of this model ({digest[:12]}). Received: one of "
            f"{str(about)[:12]}; evaluate the model again"
        )
    served = read_champion(champion, measured) if champion else None
    reports: dict[str, Report] = {"evaluation": measured, "drift": Drift(drift)}
    if validation is not None:
        reports["validation"] = ValidationReport(validation)
    lineage = read_lineage(measured, champion)
    figures = {**named_figures(reports), **lineage.figures}
    judgements = [judge(rule, figures, served, lineage.not_yet) for rule in options.rules]
    approved = all(judgement.verdict != "fail" for judgement in judgements)
    content: dict[str, Any] = {
        "approved": approved,
        "approval": options.approval,
        "reason": _reason(judgements),
        "model_digest": digest,
        "evidence": {
            report.json_path.name: digest_files(report.json_path) for report in reports.values()
        },
        "eval_digest": measured.read().get("eval_digest"),
        "champion_version": served.version if served else None,
        "champion": served.to_json([rule.metric for rule in options.rules]) if served else None,
        "lineage": lineage.to_json(),
        "policy_digest": _policy_digest(options),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rules": [_entry(judgement) for judgement in judgements],
    }
    Decision(decision).write(content, render(content, judgements, _champion_name(served), lineage))
    print(f"progress: {content['reason']}", flush=True)
    return approved


def named_figures(reports: Mapping[str, Report]) -> dict[str, Figure]:
    """All figures under the names that policies use.

    Args:
        reports: `evaluation`, `drift` and so on -> the report.

    Raises:
        DataError: a report cannot be read.
    """
    return {
        f"{kind}.{name}": figure
        for kind, report in reports.items()
        for name, figure in report.figures().items()
    }


def _entry(judgement: Judgement) -> dict[str, Any]:
    figure = judgement.figure
    measured = {name: getattr(figure, name, None) for name in ("value", "low", "high", "samples")}
    return {
        **judgement.rule.model_dump(),
        **measured,
        "bound": judgement.bound,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
    }


def _reason(judgements: list[Judgement]) -> str:
    """The decision in one line: what stopped the model, or what there is to watch."""
    failed = [judgement for judgement in judgements if judgement.verdict == "fail"]
    warned = [judgement for judgement in judgements if judgement.verdict == "warn"]
    passed = len(judgements) - len(failed) - len(warned)
    if failed:
        return f"rejected: {_first(failed)}"
    if warned:
        return f"approved: {passed} of {len(judgements)} rules pass; warning: {_first(warned)}"
    return f"approved: all {passed} rules pass" if passed > 1 else "approved: the one rule passes"


def _first(judgements: list[Judgement]) -> str:
    first = judgements[0]
    more = f"; and {len(judgements) - 1} more" if len(judgements) > 1 else ""
    return f"{first.rule.metric}: {first.reason}{more}"


def _policy_digest(options: GateOptions) -> str:
    canonical = json.dumps(options.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _champion_name(champion: Champion | None) -> str:
    return champion.name if champion else "none"
