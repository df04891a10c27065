"""The policy that decides whether a model may be pushed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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
