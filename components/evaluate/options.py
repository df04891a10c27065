"""What a person may choose about evaluation, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.guards.options import GuardOptions, names_once, shipped


class EvaluateOptions(BaseModel):
    """How much is sampled and with which settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(default=64, ge=8, description="Texts to generate and judge.")
    sample_tokens: int = Field(default=96, ge=8, description="Longest sample, in tokens.")
    temperature: float = Field(
        default=0.8, ge=0.0, description="Sampling temperature of the judged samples."
    )
    top_k: int = Field(
        default=50, ge=0, description="Sample among this many likeliest tokens; 0 for no limit."
    )
    top_p: float = Field(
        default=0.95, gt=0.0, le=1.0, description="Nucleus sampling: probability mass kept."
    )
    copy_characters: int = Field(
        default=60,
        ge=10,
        description="A sample copies if this many characters in a row stand in a training text.",
    )
    bootstrap: int = Field(
        default=1000, ge=100, description="Bootstrap resamples behind each interval."
    )
    guards: list[GuardOptions] = Field(
        default_factory=shipped,
        description="Scorers that check samples, such as for personal data: name, "
        "scorer (dotted path), threshold, options.",
    )
    serving_versions: list[str] = Field(
        default=[],
        description="TensorFlow versions that the export must answer equally under, as texts: "
        '["2.19", "2.20"]; each gets an environment of 1.5 GB on first use.',
    )
    seed: int = Field(default=0, ge=0, description="Seed of the samples and of the bootstrap.")

    @field_validator("guards")
    @classmethod
    def _names_once(cls, value: list[GuardOptions]) -> list[GuardOptions]:
        names_once(value)
        return value
