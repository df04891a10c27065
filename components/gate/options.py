"""The policy that decides whether a model may be pushed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.bounded import BoundedRule
from components.gate.confidence import REPORTED
from components.gate.contradictions import Limit, contradiction
from components.gate.metrics import METRICS, closest, known

CHAMPION = "champion"


class Rule(BoundedRule):
    """One condition on one measured figure."""

    metric: str = Field(
        min_length=1,
        description="Dotted name of the figure, such as evaluation.bits_per_byte or "
        "drift.output.drift_share.",
    )
    at_most: float | str | None = Field(
        default=None,
        description="Upper bound: a number, the dotted name of another figure, or 'champion'.",
    )
    at_least: float | str | None = Field(
        default=None,
        description="Lower bound: a number, the dotted name of another figure, or 'champion'.",
    )
    min_samples: int = Field(
        default=0, ge=0, description="Fewer samples than this behind the figure is a failure."
    )
    confidence: float = Field(
        default=REPORTED,
        ge=0.5,
        le=0.9999,
        description="Of the two-sided interval whose end is compared.",
    )
    end: Literal["worst", "value", "best"] = Field(
        default="worst",
        description="What is compared: worst, the unfavourable end of the interval, even there the "
        "claim must hold; value, the estimate alone; best, the other end, so that the rule fails "
        "only where it is broken beyond doubt.",
    )
    severity: Literal["block", "warn"] = Field(
        default="block", description="block stops the push; warn is only reported."
    )
    if_absent: Literal["block", "warn"] | None = Field(
        default=None,
        description="The severity where the figure was not measured; by default the rule's own.",
    )
    hint: str | None = Field(
        default=None, description="What to do where the figure was not measured, for the reason."
    )


class GateOptions(BaseModel):
    """The rules of the policy and who has the last word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approval: Literal["auto", "manual"] = Field(
        default="auto",
        description="Who has the last word where no blocking rule fails: auto pushes, manual "
        "waits for a person (push.approvers).",
    )
    rules: list[Rule] = Field(
        min_length=1, description="The policy, as a list of rules with metric and bound."
    )

    @model_validator(mode="after")
    def _rules_fit_together(self) -> Self:
        for place, rule in enumerate(self.rules, 1):
            for earlier, other in enumerate(self.rules[: place - 1], 1):
                if rule == other:
                    raise ValueError(
                        f"expected every rule once. Received: rule {place} on {rule.metric!r} "
                        f"repeats rule {earlier}"
                    )
        places = contradiction(
            [limit for place, rule in enumerate(self.rules, 1) for limit in _limits(rule, place)]
        )
        if places:
            metrics = list(dict.fromkeys(repr(self.rules[place - 1].metric) for place in places))
            raise ValueError(
                f"expected rules that a model can pass. Received: rules {_listed(places)} on "
                f"{_listed(metrics)}, which no {'value' if len(metrics) == 1 else 'values'} "
                f"{'passes' if len(metrics) == 1 else 'pass'}"
            )
        return self

    def unknown(self, modality: str) -> list[str]:
        """What names a figure that the steps of a modality do not measure, a line each."""
        lines = []
        for place, rule in enumerate(self.rules, 1):
            bound = rule.bound
            named = [
                rule.metric,
                *([bound] if isinstance(bound, str) and bound != CHAMPION else []),
            ]
            lines += [
                f"rule {place}: expected a figure that {modality} has. Received: {name!r}"
                f"{closest(name, METRICS[modality])}"
                for name in named
                if not known(name, modality)
            ]
            if bound == CHAMPION and not rule.metric.startswith("evaluation."):
                lines.append(
                    f"rule {place}: expected a figure of the evaluation, which alone is known of "
                    f"the version now served. Received: {rule.metric!r} with the bound 'champion'"
                )
        return lines


def _limits(rule: Rule, place: int) -> list[Limit]:
    """What a blocking rule demands of the value itself.

    Only where its worst end is compared, or the value, is that the rule's own bound. What the
    champion's figures are is not known beforehand.
    """
    if rule.severity == "warn" or rule.end == "best" or rule.bound == CHAMPION:
        return []
    other, number = (rule.bound, 0.0) if isinstance(rule.bound, str) else ("", rule.bound)
    if rule.upper:
        return [Limit(rule.metric, other, number + rule.tolerance, place)]
    return [Limit(other, rule.metric, rule.tolerance - number, place)]


def _listed(items: Sequence[object]) -> str:
    *others, last = map(str, items)
    return f"{', '.join(others)} and {last}" if others else last
