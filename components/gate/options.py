"""The policy that decides whether a model may be pushed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.gate.confidence import REPORTED
from components.gate.metrics import METRICS, closest, known

CHAMPION = "champion"


class Rule(BaseModel):
    """One condition on one measured figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    tolerance: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Added to an upper bound, taken from a lower one.",
    )
    min_samples: int = Field(
        default=0, ge=0, description="Fewer samples than this behind the figure is a failure."
    )
    confidence: float = Field(
        default=REPORTED,
        ge=0.5,
        le=0.9999,
        description="Of the two-sided interval whose unfavourable end is compared.",
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

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"rule on {self.metric!r} needs exactly one of at_most, at_least")
        return self


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
                if _contradict(rule, other):
                    raise ValueError(
                        f"expected rules that a model can pass. Received: rules {earlier} and "
                        f"{place} on {rule.metric!r}, which no value passes"
                    )
        return self

    def unknown(self, modality: str) -> list[str]:
        """What names a figure that the steps of a modality do not measure, a line each."""
        lines = []
        for place, rule in enumerate(self.rules, 1):
            bound = rule.at_most if rule.at_most is not None else rule.at_least
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


def _contradict(one: Rule, other: Rule) -> bool:
    """Whether no value passes two blocking rules."""
    if one.metric != other.metric or "warn" in (one.severity, other.severity):
        return False
    upper, lower = (one, other) if one.at_most is not None else (other, one)
    if isinstance(upper.at_most, str | None) or isinstance(lower.at_least, str | None):
        return False
    return upper.at_most + upper.tolerance < lower.at_least - lower.tolerance
