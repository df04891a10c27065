"""What a person may choose about validation, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ValidateOptions(BaseModel):
    """Which expectations the examples must meet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str = Field(
        default="text",
        min_length=1,
        description="Expectation suite: the name of one that ships with the step, or the path of "
        "a Great Expectations suite in JSON.",
    )
