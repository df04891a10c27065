"""What a person may choose about the evaluation of tables, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.guards.options import GuardOptions, names_once


class EvaluateTableOptions(BaseModel):
    """How much is generated and compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(
        default=5000, ge=100, description="Rows to generate and judge; at most as many as held out."
    )
    temperature: float = Field(
        default=1.0, ge=0.0, description="Sampling temperature; 1 is the model's own distribution."
    )
    target: str = Field(
        default="",
        description="Column that a model trained on generated rows predicts on real ones; empty "
        "for the last one with 2 to 10 categories, or else the last numerical one.",
    )
    resamples: int = Field(
        default=40, ge=20, description="Half samples behind each interval of a similarity."
    )
    guards: list[GuardOptions] = Field(
        default=[],
        description="Scorers that check the texts of generated rows, such as for personal data: "
        "name, scorer (dotted path), threshold, options.",
    )
    serving_versions: list[str] = Field(
        default=[],
        description="TensorFlow versions that the export must answer equally under, as texts: "
        '["2.19", "2.20"]; each gets an environment of 1.5 GB on first use.',
    )
    seed: int = Field(default=0, ge=0, description="Seed of the rows, the models and resamples.")

    @field_validator("guards")
    @classmethod
    def _names_once(cls, value: list[GuardOptions]) -> list[GuardOptions]:
        names_once(value)
        return value
