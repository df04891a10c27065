"""What a person may choose about drift detection, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ColumnChoice(BaseModel):
    """How one column, or all whose names fit a pattern, are judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(
        min_length=1,
        description="Name of the measure as figures have it, such as words or dep_delay; * stands "
        "for any letters.",
    )
    method: str = Field(
        default="",
        description="Evidently's drift method for it, such as ks, psi, wasserstein, jensenshannon "
        "or chisquare; empty for that of all.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Score at which it counts as drifted; by default the method's own.",
    )


class DriftOptions(BaseModel):
    """When a column counts as drifted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(
        default="wasserstein",
        description="Evidently's drift method for numbers, such as ks, psi, wasserstein or "
        "jensenshannon; one that takes no categories leaves those to jensenshannon or chisquare.",
    )
    threshold: float = Field(
        default=0.1, gt=0, description="Score at which a descriptor counts as drifted."
    )
    max_rows: int = Field(
        default=20_000, ge=100, description="Rows sampled, by digest, from each side at most."
    )
    columns: list[ColumnChoice] = Field(
        default=[],
        description="Columns that are judged by another method or threshold; the first entry that "
        "fits a column counts.",
    )
