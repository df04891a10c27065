"""What a person may choose about the transform, with defaults and meanings."""

from __future__ import annotations

from pydantic import Field

from components.beam import BeamOptions


class TransformOptions(BeamOptions):
    """How text becomes tokens."""

    vocabulary_size: int = Field(
        default=2048,
        ge=257,
        le=65_536,
        description="Size of the subword vocabulary: end of text, 256 bytes, learned subwords.",
    )
