"""What a person may choose about drift detection, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
