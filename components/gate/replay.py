"""Judges runs of the past by another policy, from the reports that their records keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.artifacts import Decision, Drift, Evaluation, Figure, Report, ValidationReport
from components.gate.champion import Champion
from components.gate.gate import named_figures
from components.gate.lineage import Lineage
from components.gate.options import Rule
from components.gate.rules import Judgement, judge


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A run, as it was decided and as another policy decides.

    Attributes:
        run: its name.
        before: what was decided then.
        judgements: of the other policy's rules.
    """

    run: str
    before: bool
    judgements: Sequence[Judgement]

    @property
    def after(self) -> bool:
        """What the other policy decides."""
        return all(judgement.verdict != "fail" for judgement in self.judgements)

    @property
    def reason(self) -> str:
        """The first rule that does not pass, or nothing."""
        for wanted in ("fail", "warn"):
            for judgement in self.judgements:
                if judgement.verdict == wanted:
                    return f"{judgement.rule.metric}: {judgement.reason}"
        return ""


def replay(records: Path, rules: Sequence[Rule]) -> Replayed | None:
    """Judges the run of a folder of records.

    Champion and lineage are those that the run's own decision wrote down.

    Args:
        records: the run's folder of records.
        rules: the other policy.

    Returns:
        Both decisions; None where the run came to none.

    Raises:
        DataError: a report cannot be read.
    """
    decided = Decision(records)
    if not decided.json_path.is_file():
        return None
    reports: dict[str, Report] = {"evaluation": Evaluation(records), "drift": Drift(records)}
    if ValidationReport(records).json_path.is_file():
        reports["validation"] = ValidationReport(records)
    content = decided.read()
    lineage = Lineage.from_json(content.get("lineage") or {})
    figures = {**named_figures(reports), **lineage.figures}
    champion = _champion(content, Evaluation(records).read())
    judgements = [judge(rule, figures, champion, lineage.not_yet) for rule in rules]
    return Replayed(records.name, bool(content["approved"]), judgements)


def _champion(content: dict[str, Any], evaluation: dict[str, Any]) -> Champion | None:
    version = content.get("champion_version")
    if version is None:
        return None
    if content.get("champion"):
        return Champion.from_json(version, content["champion"])
    # Decisions of old told nothing of it; the evaluation tells what it measured anew.
    name = f"version {version}"
    measured = (evaluation.get("champion") or {}).get("figures") or {}
    figures = {f"evaluation.{key}": Figure(**fields) for key, fields in measured.items()}
    problem = "" if figures else f"{name} was not measured on these examples"
    return Champion(name, version, figures, problem)
