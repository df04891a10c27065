"""Judges one rule of the policy against measured figures; the whole of the gate's logic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from components.amounts import plain
from components.artifacts import Figure
from components.gate.champion import Champion
from components.gate.confidence import at
from components.gate.metrics import closest
from components.gate.options import CHAMPION, Rule

Verdict = Literal["pass", "fail", "warn"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What became of a rule.

    Attributes:
        rule: the rule itself.
        figure: what was measured, or None where nothing was.
        bound: the number compared with, tolerance not included; None where there is none.
        verdict: 'warn' is a failure that does not block.
        reason: why, in a few words.
    """

    rule: Rule
    figure: Figure | None
    bound: float | None
    verdict: Verdict
    reason: str


@dataclasses.dataclass(frozen=True)
class _Outcome:
    holds: bool
    reason: str
    bound: float | None = None


def judge(
    rule: Rule,
    figures: Mapping[str, Figure],
    champion: Champion | None,
    not_yet: Mapping[str, str] | None = None,
) -> Judgement:
    """Applies a rule. Whatever cannot be measured or compared is a failure, never a pass.

    Args:
        rule: the condition.
        figures: everything measured on this model, by dotted name.
        champion: the version now served, or None where there is none.
        not_yet: figures of which there can be none so soon -> why; as where no version is served
            yet, a rule on one passes.
    """
    figure = figures.get(rule.metric)
    if figure is None and rule.metric in (not_yet or {}):
        return Judgement(rule, None, None, "pass", (not_yet or {})[rule.metric])
    severity = rule.severity if figure else rule.if_absent or rule.severity
    # As it was measured: at another confidence a share's endless interval ends at 1.
    outcome = _unusable(rule, figure, figures)
    if figure is not None:
        figure = at(figure, rule.confidence)
    if outcome is None:
        assert figure is not None
        outcome = _compare(rule, figure, figures, champion)
    failed: Verdict = "fail" if severity == "block" else "warn"
    return Judgement(
        rule, figure, outcome.bound, "pass" if outcome.holds else failed, outcome.reason
    )


def _unusable(rule: Rule, figure: Figure | None, figures: Mapping[str, Figure]) -> _Outcome | None:
    if figure is None:
        hint = f": {rule.hint}" if rule.hint else closest(rule.metric, figures)
        return _Outcome(False, f"not measured{hint}")
    bounds = (figure.low, figure.high)
    if not math.isfinite(figure.value) or any(
        bound is not None and not math.isfinite(bound) for bound in bounds
    ):
        return _Outcome(False, "the measurement is not a number")
    if figure.samples < rule.min_samples:
        return _Outcome(
            False,
            f"not enough data: {figure.samples} samples, the rule asks for {rule.min_samples}",
        )
    return None


def _compare(
    rule: Rule, figure: Figure, figures: Mapping[str, Figure], champion: Champion | None
) -> _Outcome:
    wanted = rule.bound
    if wanted == CHAMPION:
        return _against_champion(rule, figure, figures, champion)
    if isinstance(wanted, str):
        other = figures.get(wanted)
        if other is None:
            return _Outcome(False, f"the bound was not measured{closest(wanted, figures)}")
        return _against(rule, figure, other.value, wanted)
    return _against(rule, figure, wanted, "")


def _against_champion(
    rule: Rule, figure: Figure, figures: Mapping[str, Figure], champion: Champion | None
) -> _Outcome:
    if champion is None:
        return _Outcome(True, "no version is served yet")
    if champion.problem:
        return _Outcome(False, f"not comparable: {champion.problem}")
    other = champion.figures.get(rule.metric)
    if other is None:
        return _Outcome(False, f"not comparable: {champion.name} has no such figure")
    # The evaluate step measures the difference itself where it scored both models.
    paired = figures.get(f"{rule.metric}_minus_champion") or champion.difference(rule.metric)
    if paired is None or paired.low is None or paired.high is None:
        return _against(rule, figure, other.value, champion.name)
    if not all(map(math.isfinite, (other.value, paired.value, paired.low, paired.high))):
        return _Outcome(False, f"the difference from {champion.name} is not a number")
    # A difference of shares is no share: its interval may end below 0.
    paired = at(dataclasses.replace(paired, unit=""), rule.confidence)
    # Both models scored the same texts, so the texts' own difficulty cancels out of the
    # difference: its interval is far narrower than that of either model's figure.
    compared, _ = _end(rule, paired)
    holds = compared <= rule.tolerance if rule.upper else compared >= -rule.tolerance
    return _Outcome(
        holds,
        f"{paired.value:+.4g} against {champion.name}'s {other.value:.4g} on the same examples "
        f"({100 * rule.confidence:.4g}%: {paired.low:+.4g} to {paired.high:+.4g})"
        f"{_tolerance(rule)}",
        other.value,
    )


def _against(rule: Rule, figure: Figure, bound: float, name: str) -> _Outcome:
    """Compares the end of the interval that the rule names."""
    if not math.isfinite(bound):
        return _Outcome(False, f"the bound {name or bound} is not a number")
    upper = rule.upper
    compared, direction = _end(rule, figure)
    limit = bound + rule.tolerance if upper else bound - rule.tolerance
    holds = compared <= limit if upper else compared >= limit
    relation = {
        (True, True): "at most",
        (True, False): "above",
        (False, True): "at least",
        (False, False): "below",
    }[upper, holds]
    shown = plain(figure.value)
    if direction:
        shown += f" ({direction} to {plain(compared)})"
    limit_shown = f"{name} {plain(bound)}".lstrip()
    return _Outcome(holds, f"{shown} is {relation} {limit_shown}{_tolerance(rule)}", bound)


def _end(rule: Rule, figure: Figure) -> tuple[float, str]:
    """The number that is compared, and where from the value it lies: 'up', 'down' or ''."""
    high = rule.upper == (rule.end == "worst")
    end = figure.high if high else figure.low
    if rule.end == "value" or end is None:
        return figure.value, ""
    return end, "up" if high else "down"


def _tolerance(rule: Rule) -> str:
    return f", tolerance {plain(rule.tolerance)}" if rule.tolerance else ""
