"""What a person may choose about the transform of tables, with defaults and meanings."""

from __future__ import annotations

from pydantic import Field

from components.beam import BeamOptions


class TransformTableOptions(BeamOptions):
    """How rows become codes and values."""

    modes: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Modes of a number's distribution at most, each a Gaussian; a number is laid "
        "out as its mode and where in it.",
    )
    max_distinct: int = Field(
        default=64,
        ge=0,
        le=1000,
        description="Numbers and datetimes with at most so many different values have a code for "
        "each of them, and come back exactly.",
    )
    max_categories: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Categories kept of a column, the most frequent ones; the others share the "
        "code of the unknown.",
    )
