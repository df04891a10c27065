"""What a person may choose about the ingestion of images, with defaults and meanings."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_DATED_SOURCES = ("emoji:",)


class IngestImageOptions(BaseModel):
    """Where images come from and how they become examples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        min_length=1,
        description="URI of the images: 'fashion-mnist:', 'emoji:' or 'emoji:SIZE' (rendered from "
        "the Noto font), a folder of PNG or JPEG files (classes are its subfolders), or a path or "
        "glob of .csv (which names image files) or .parquet files (which hold them).",
    )
    image_column: str = Field(
        default="image",
        description="Column of the image: its path in csv, its bytes in parquet.",
    )
    label_column: str = Field(
        default="label",
        description="Column of the class in csv and parquet; empty for images without classes, "
        "in folders too.",
    )
    time_column: str = Field(
        default="",
        description="Column of each image's time (ISO 8601) in csv and parquet; empty for none.",
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
        description="Percentage of the training era's images held out, chosen by digest.",
    )
    split: Literal["digest", "source"] = Field(
        default="digest",
        description="'digest' holds images out by the digest of their pixels; 'source' holds out "
        "what the source itself calls its test images (fashion-mnist).",
    )
    max_pixels: int = Field(
        default=16_777_216,
        ge=1,
        description="Images of more pixels (width x height) are set aside undecoded, and so are "
        "those with a side longer than its square root times four.",
    )
    max_rows: int = Field(
        default=0, ge=0, description="Images taken at most, chosen by digest; 0 for all."
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
        if chosen and not self.time_column and not self.source.startswith(_DATED_SOURCES):
            raise ValueError(
                f"an era is set, so time_column must name the column of the time; received none. "
                f"Name it, or do without eras: leave {', '.join(chosen)} empty"
            )
        return self

    @property
    def longest_side(self) -> int:
        """Pixels of the longest side that is decoded: four times that of the largest square."""
        return 4 * int(self.max_pixels**0.5)
