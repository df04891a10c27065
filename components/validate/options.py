"""What a person may choose about validation, with defaults and meanings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.guards.options import GuardOptions, names_once


class DataGuardOptions(GuardOptions):
    """A scorer of training data, and what becomes of an example that it flags."""

    set_aside: bool = Field(
        default=False,
        description="Set aside what it flags; else it is only counted, for the gate to judge.",
    )


class ValidateOptions(BaseModel):
    """Which expectations the examples must meet, and who may have made them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str = Field(
        default="text",
        min_length=1,
        description="Expectation suite: the name of one that ships with the step, or the path of "
        "a Great Expectations suite in JSON.",
    )
    max_generated_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Largest share of examples that models made, by their provenance, in training "
        "data and in held-out data; 1 for no limit.",
    )
    generated_surplus: Literal["set_aside", "fail"] = Field(
        default="set_aside",
        description="Where there are more: set_aside takes the surplus out, chosen by digest, and "
        "reports it; fail stops the run.",
    )
    count_edited: bool = Field(
        default=False, description="Whether what a person edited counts as made by a model."
    )
    known_outputs: list[str] = Field(
        default=[],
        description="Files of what models generated (.txt of example ids; .jsonl or .parquet with "
        "ids or with the outputs, such as an evaluation's samples.parquet): examples without "
        "provenance that are found there count as made by a model.",
    )
    known_overlap: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of a text's runs of five words in known outputs from which on it is "
        "one of them.",
    )
    guards: list[DataGuardOptions] = Field(
        default=[],
        description="Scorers that check the texts of the examples: name, scorer (dotted path), "
        "threshold, options, set_aside.",
    )

    @field_validator("guards")
    @classmethod
    def _names_once(cls, value: list[DataGuardOptions]) -> list[DataGuardOptions]:
        names_once(value)
        return value
