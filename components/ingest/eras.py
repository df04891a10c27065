"""What every ingestion lets a person choose: the source, its eras, the share that is held out."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from components import provenance
from components.artifacts import PROVENANCE
from components.beam import BeamOptions
from components.errors import ConfigError

_BOUNDS = ("reference_from", "reference_to", "current_from", "current_to")


class EraOptions(BeamOptions):
    """A source, the eras of training and of today, how much is held out, and what does the work."""

    # Sources whose examples have times without a column that is named.
    dated_sources: ClassVar[tuple[str, ...]] = ()

    source: str = Field(min_length=1, description="URI of what is ingested.")
    time_column: str = Field(
        default="",
        description="Column or key that holds each example's time (ISO 8601); empty for none.",
    )
    made_by: str = Field(
        default="",
        description="Who made the examples of which the source does not say it: human, "
        "model:NAME:VERSION, or edited:NAME:VERSION; empty where it is not known.",
    )
    provenance_column: str = Field(
        default=PROVENANCE,
        description="Column or key that says it of each example, read where the source has it; "
        "empty for none.",
    )
    reference_from: str = Field(
        default="", description="First year or date of the training era; empty for no bound."
    )
    reference_to: str = Field(
        default="",
        description="Last year or date of the training era, inclusive; empty for no bound.",
    )
    current_from: str = Field(
        default="",
        description="First year or date of the era that drift compares with; empty for none.",
    )
    current_to: str = Field(
        default="", description="Last year or date of that era, inclusive; empty for no bound."
    )
    eval_percent: int = Field(
        default=10,
        ge=1,
        le=50,
        description="Percentage of the training era held out, chosen by digest.",
    )

    @field_validator("made_by")
    @classmethod
    def _a_tag(cls, value: str) -> str:
        try:
            return provenance.check(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_validator(*_BOUNDS, mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        # YAML reads 1980 as a number and 1980-01-31 as a date.
        if isinstance(value, dt.date):
            return value.isoformat()
        return str(value) if type(value) is int else value

    @model_validator(mode="after")
    def _eras_need_time(self) -> Self:
        chosen = [name for name in _BOUNDS if getattr(self, name)]
        if chosen and not self.time_column and not self.source.startswith(self.dated_sources):
            raise ValueError(
                f"an era is set, so time_column must name the column of the time; received none. "
                f"Name it, or do without eras: leave {', '.join(chosen)} empty"
            )
        return self
