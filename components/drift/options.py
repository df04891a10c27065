"""What a person may choose about drift detection, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# The measure that is all of a row at once, and its only method.
EMBEDDING = "embedding"
DOMAIN_CLASSIFIER = "domain_classifier"


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
        "or chisquare; empty for that of all. The column embedding, all of a text, image or row "
        "at once, has domain_classifier.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Score at which it counts as drifted; by default the method's own. Of "
        "domain_classifier an area under the ROC curve (0.55; 1 is never passed).",
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
        default=0.1,
        gt=0,
        description="Score at which a column counts as drifted. Of wasserstein it is in standard "
        "deviations, and categories count as drifted when they lie as many apart: at a "
        "jensenshannon of threshold / sqrt(8), 0.035 for 0.1.",
    )
    prompts: str = Field(
        default="",
        description="File of what users asked for lately, to be compared with what the model "
        "learnt and was evaluated on: .jsonl (requests as the gateway records them, or their "
        "inputs), .csv, .parquet, or .txt with a prompt a line; empty for none.",
    )
    keep_reference: bool = Field(
        default=True,
        description="Whether measures of some training rows are left beside the model, so that "
        "later runs can tell whether the training data moved; of tables they are the rows' values.",
    )
    max_rows: int = Field(
        default=20_000, ge=100, description="Rows sampled, by digest, from each side at most."
    )
    columns: list[ColumnChoice] = Field(
        default=[],
        description="Columns that are judged by another method or threshold; the first entry that "
        "fits a column counts.",
    )
