"""Judges the rules of a monitoring policy; what is not known is said, and never taken for good."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from components.amounts import plain
from components.artifacts import Figure
from components.gate.confidence import at
from components.gate.metrics import closest
from components.monitor.options import MonitorRule

State = Literal["ok", "breach", "unclear", "insufficient"]
Verdict = Literal["ok", "alert", "retrain", "insufficient"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What became of a rule.

    Attributes:
        rule: the rule itself.
        figure: what was measured, or None where nothing was.
        bound: the number compared with, tolerance not included; None where there is none.
        state: 'unclear' where the value lies beyond the bound but the interval reaches back.
        reason: why, in a few words.
    """

    rule: MonitorRule
    figure: Figure | None
    bound: float | None
    state: State
    reason: str


def judge(
    rule: MonitorRule, figures: Mapping[str, Figure], missing: Mapping[str, str]
) -> Judgement:
    """Applies a rule.

    A gate asks whether a claim holds even at the unfavourable end of an interval. Monitoring asks
    whether something has gone wrong, so a bound counts as broken where the whole interval lies
    beyond it: chance alone seldom raises an alarm.

    Args:
        rule: the condition.
        figures: everything that was measured, by dotted name.
        missing: why figures were not measured, by the beginning of their names.
    """
    figure = figures.get(rule.metric)
    if figure is None:
        return Judgement(rule, None, None, "insufficient", _absence(rule.metric, figures, missing))
    figure = at(figure, rule.confidence)
    wanted = rule.bound
    other = figures.get(wanted) if isinstance(wanted, str) else None
    if isinstance(wanted, str) and other is None:
        reason = f"the bound {_absence(wanted, figures, missing)}"
        return Judgement(rule, figure, None, "insufficient", reason)
    bound = other.value if other is not None else float(wanted)
    if not math.isfinite(figure.value) or not math.isfinite(bound):
        return Judgement(rule, figure, bound, "insufficient", "not a number")
    if figure.samples < rule.min_samples:
        reason = f"too few samples: {figure.samples} of {rule.min_samples}"
        return Judgement(rule, figure, bound, "insufficient", reason)
    return _compared(rule, figure, bound)


def _compared(rule: MonitorRule, figure: Figure, bound: float) -> Judgement:
    upper = rule.upper
    limit = bound + rule.tolerance if upper else bound - rule.tolerance
    end = figure.low if upper else figure.high
    nearest = figure.value if end is None else end
    sign = 1 if upper else -1
    beyond, surely = sign * (figure.value - limit) > 0, sign * (nearest - limit) > 0
    shown = plain(figure.value)
    if figure.low is not None and figure.high is not None:
        shown += f" ({100 * rule.confidence:.4g}%: {plain(figure.low)} to {plain(figure.high)})"
    if not beyond:
        relation = "at most" if upper else "at least"
        return Judgement(rule, figure, bound, "ok", f"{shown} is {relation} {plain(limit)}")
    relation = "above" if upper else "below"
    if not surely:
        reason = f"{shown} is {relation} {plain(limit)}, but chance may have put it there"
        return Judgement(rule, figure, bound, "unclear", reason)
    return Judgement(rule, figure, bound, "breach", f"{shown} is {relation} {plain(limit)}")


def _absence(name: str, figures: Mapping[str, Figure], missing: Mapping[str, str]) -> str:
    for start, why in missing.items():
        if name.startswith(start):
            return f"was not measured: {why}"
    return f"was not measured{closest(name, figures)}"


def decide(judgements: Sequence[Judgement]) -> tuple[Verdict, str]:
    """The verdict over all rules, and its reason in one line."""
    breached = [one for one in judgements if one.state == "breach"]
    for severity in ("retrain", "alert"):
        found = [one for one in breached if one.rule.severity == severity]
        if found:
            others = [one for one in breached if one is not found[0]]
            return ("retrain" if severity == "retrain" else "alert"), _told(found[0], len(others))
    unknown = [one for one in judgements if one.state == "insufficient" and one.rule.required]
    if unknown:
        return "insufficient", _told(unknown[0], len(unknown) - 1)
    told = [f"{_count(judgements, 'ok')} of {len(judgements)} rules hold"]
    for state, words in (("unclear", "cannot be told yet"), ("insufficient", "lack samples")):
        count = _count(judgements, state)
        if count:
            told.append(f"{count} {words}")
    return "ok", "; ".join(told)


def _count(judgements: Sequence[Judgement], state: str) -> int:
    return sum(one.state == state for one in judgements)


def _told(judgement: Judgement, more: int) -> str:
    return f"{judgement.rule.metric}: {judgement.reason}" + (f"; and {more} more" if more else "")
