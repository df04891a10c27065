"""What a person may choose about the transform of images, with defaults and meanings."""

from __future__ import annotations

from pydantic import Field, field_validator

from components.beam import BeamOptions


class TransformImageOptions(BeamOptions):
    """The one shape that images are brought to."""

    height: int = Field(default=28, ge=4, le=1024, description="Height in pixels after resizing.")
    width: int = Field(default=28, ge=4, le=1024, description="Width in pixels after resizing.")
    channels: int = Field(default=1, description="1 for grey, 3 for colour.")

    @field_validator("channels")
    @classmethod
    def _grey_or_colour(cls, value: int) -> int:
        if value not in (1, 3):
            raise ValueError(f"expected 1 (grey) or 3 (colour); received {value}")
        return value
