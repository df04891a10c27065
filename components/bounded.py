"""What rules about measured figures have in common, whoever judges by them."""

from __future__ import annotations

import contextlib
import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class BoundedRule(BaseModel):
    """One condition on one measured figure: a bound from above or from below."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(min_length=1, description="Dotted name of the figure.")
    at_most: float | str | None = Field(
        default=None, description="Upper bound: a number, or the dotted name of another figure."
    )
    at_least: float | str | None = Field(
        default=None, description="Lower bound: a number, or the dotted name of another figure."
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Added to an upper bound, taken from a lower one.",
    )

    @field_validator("at_most", "at_least", mode="before")
    @classmethod
    def _number_or_name(cls, value: object) -> object:
        """YAML reads 1e-3 as a text; a bound that is no number is one that nothing can meet."""
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"expected a finite number or the name of a figure. Received: {value}")
        return value

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"rule on {self.metric!r} needs exactly one of at_most, at_least")
        if self.bound == self.metric:
            raise ValueError(
                f"expected another bound of {self.metric!r} than itself. Received: {self.metric!r}"
            )
        return self

    @property
    def upper(self) -> bool:
        """Whether the bound is one from above."""
        return self.at_most is not None

    @property
    def bound(self) -> float | str:
        """What the figure is compared with: a number, or a name."""
        found = self.at_most if self.at_most is not None else self.at_least
        assert found is not None
        return found
