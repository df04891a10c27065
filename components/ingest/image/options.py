"""What a person may choose about the ingestion of images, with defaults and meanings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.ingest.eras import EraOptions


class IngestImageOptions(EraOptions):
    """Where images come from and how they become examples."""

    dated_sources: ClassVar[tuple[str, ...]] = ("emoji:",)

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

    @property
    def longest_side(self) -> int:
        """Pixels of the longest side that is decoded: four times that of the largest square."""
        return 4 * int(self.max_pixels**0.5)
